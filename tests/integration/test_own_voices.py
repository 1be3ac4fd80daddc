"""Voices of the users' own at Vocalizr's doors: consents, samples, blends, revocation, tenants, two replicas."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chatacter.chassis.errors import Misconfigured
from tests.tone_people import ANN, AUDIO, BOB, PHRASE, RATE, ears, encoded, recorded, samples
from tests.vocalizr_server import until_metric, vocalizr
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.studios import Ears
from vocalizr.listening.fakes import FakeEmbedder, FakeTranscriber

pytestmark = pytest.mark.integration

CONSENTS = "/v1/audio/voice_consents"
VOICES = "/v1/audio/voices"
TENANT = {"x-chatacter-tenant": "acme", "x-chatacter-caller": "ann"}
OTHER = {"x-chatacter-tenant": "evil"}


class Replicas:
    """Two Vocalizrs that share a store, and nothing else."""

    def __init__(self, one: httpx.AsyncClient, other: httpx.AsyncClient, root: Path) -> None:
        self.one = one
        self.other = other
        self.root = root

    async def consent(self, pitch: float = ANN, **more: Any) -> httpx.Response:
        form = {"name": "Ann", "language": "en-US", **more}
        files = {"recording": ("consent.wav", recorded(pitch), AUDIO)}
        return await self.one.post(CONSENTS, data=form, files=files, headers=TENANT)

    async def consented(self) -> str:
        return str((await self.consent()).json()["id"])

    async def clone(self, consent: str, *sounds: bytes, headers: dict[str, str] = TENANT) -> httpx.Response:
        files = [("audio_sample", ("sample.wav", sound, AUDIO)) for sound in sounds or (recorded(ANN),)]
        return await self.one.post(VOICES, data={"name": "Mine", "consent": consent}, files=files, headers=headers)

    async def say(self, client: httpx.AsyncClient, voice: str, headers: dict[str, str] = TENANT) -> httpx.Response:
        body = {"model": "fake", "input": "Hello there.", "voice": voice, "response_format": "pcm"}
        return await client.post("/v1/audio/speech", json=body, headers=headers)

    def files(self) -> list[Path]:
        """All that is stored but the marks of what was revoked, which stay."""
        return [path for path in self.root.rglob("*") if path.is_file() and path.parent.name != "revoked"]


@pytest.fixture
async def replicas(tmp_path: Path) -> AsyncIterator[Replicas]:
    root = tmp_path / "voices"
    async with AsyncExitStack() as stack:
        pair = [
            await stack.enter_async_context(
                vocalizr(FakeSpeech(cloning=True), ears=ears(), vocalizr_voices_url=root.as_uri())
            )
            for _ in range(2)
        ]
        yield Replicas(pair[0], pair[1], root)


def pitch_of(pcm: bytes) -> float:
    """The pitch of a fake's first letter, `H`, undone."""
    heard = np.frombuffer(pcm, "<i2").astype(np.float32)[: RATE // 20]
    spectrum = np.abs(np.fft.rfft(heard, RATE))
    return float(np.argmax(spectrum)) / 2 ** ((ord("H") % 12) / 12)


async def test_a_cloned_voice_is_spoken_by_any_replica_until_it_is_revoked(replicas: Replicas) -> None:
    given = await replicas.consent()
    assert given.status_code == 200, given.text
    consent = given.json()
    assert (consent["object"], consent["name"], consent["language"]) == ("audio.voice_consent", "Ann", "en-US")
    made = await replicas.clone(consent["id"], recorded(ANN), recorded(ANN * 1.02, "flac"))
    assert made.status_code == 200, made.text
    voice = made.json()
    assert (voice["object"], voice["type"], voice["kind"], voice["name"]) == (
        "audio.voice",
        "audio_sample",
        "cloned",
        "Mine",
    )
    for client in (replicas.one, replicas.other):
        said = await replicas.say(client, voice["id"])
        assert said.status_code == 200, said.text
        assert pitch_of(said.content) == pytest.approx(ANN * 1.01, rel=0.05)
        listed = (await client.get(VOICES, headers=TENANT)).json()["data"]
        assert [each["id"] for each in listed if each["kind"] == "cloned"] == [voice["id"]]
    revoked = await replicas.other.delete(f"{CONSENTS}/{consent['id']}", headers=TENANT)
    assert revoked.json() == {"id": consent["id"], "object": "audio.voice_consent", "deleted": True}
    for client in (replicas.one, replicas.other):
        assert (await replicas.say(client, voice["id"])).status_code == 404
        assert (await client.get(f"{VOICES}/{voice['id']}", headers=TENANT)).status_code == 404
        assert (await client.get(f"{CONSENTS}/{consent['id']}", headers=TENANT)).status_code == 404
    assert replicas.files() == []
    (mark,) = [path for path in replicas.root.rglob("*") if path.is_file()]
    assert mark.name == hashlib.sha256(recorded(ANN)).hexdigest(), "all that is left says of which recording it was"
    again = await replicas.consent()
    assert again.status_code == 409
    assert "says the phrase once more" in again.json()["error"]["message"]
    assert (await replicas.consent(ANN * 1.01)).status_code == 200


async def test_who_when_and_what_was_said_is_kept(replicas: Replicas) -> None:
    consent = await replicas.consented()
    (record,) = [path for path in replicas.files() if path.name == "record.json"]
    kept = json.loads(record.read_text())
    assert kept["given"]["key"] == "ann"
    assert kept["given"]["at"] > 1_700_000_000
    assert (kept["id"], kept["schema_version"], kept["heard"], kept["phrase"]) == (consent, 1, PHRASE, PHRASE)
    assert record.parent.parent.parent.name == "acme"
    assert (record.parent / "recording").read_bytes() == recorded(ANN)


async def test_another_speaker_s_sample_is_refused(replicas: Replicas) -> None:
    consent = await replicas.consented()
    for sounds in ((recorded(BOB),), (recorded(ANN), recorded(BOB))):
        refused = await replicas.clone(consent, *sounds)
        assert refused.status_code == 422
        assert "does not sound like the one who consented" in refused.json()["error"]["message"]
    assert "2 of 2" in refused.json()["error"]["message"]
    assert len([path for path in replicas.files() if "voices" in path.relative_to(replicas.root).parts]) == 0


async def test_what_is_no_number_is_no_match(tmp_path: Path) -> None:
    class Broken(FakeEmbedder):
        def embed(self, recording: Any) -> Any:
            return np.full(2, np.nan, np.float32)

    broken = Ears(FakeTranscriber(PHRASE), Broken())
    async with vocalizr(FakeSpeech(cloning=True), ears=broken, vocalizr_voices_url=tmp_path.as_uri()) as client:
        both = Replicas(client, client, tmp_path)
        assert (await both.clone(await both.consented())).status_code == 422


async def test_without_ears_nothing_is_cloned(tmp_path: Path) -> None:
    """The models are not installed in this home: it fails closed, and says what to install."""
    home = {"chatacter_home": tmp_path, "vocalizr_voices_url": (tmp_path / "voices").as_uri()}
    async with vocalizr(FakeSpeech(cloning=True), **home) as client:
        refused = await Replicas(client, client, tmp_path).consent()
        assert refused.status_code == 503
        assert "chatacter models install whisper-base" in refused.json()["error"]["message"]

    class Deaf(FakeEmbedder):
        def load(self) -> None:
            raise Misconfigured("ge2e-speaker is not installed; run `chatacter models install ge2e-speaker`.")

    half = Ears(FakeTranscriber(PHRASE), Deaf())
    async with vocalizr(FakeSpeech(cloning=True), ears=half, **home) as client:
        both = Replicas(client, client, tmp_path / "voices")
        refused = await both.clone(await both.consented())
        assert refused.status_code == 503
        assert [path for path in both.files() if path.parent.parent.name == "voices"] == []


async def test_a_model_that_cannot_clone_says_so_and_stores_nothing(tmp_path: Path) -> None:
    async with vocalizr(FakeSpeech(), ears=ears(), vocalizr_voices_url=tmp_path.as_uri()) as client:
        both = Replicas(client, client, tmp_path)
        for refused in (await both.consent(), await both.clone("cons_" + "0" * 32)):
            assert refused.status_code == 422
            assert "needs the GPU backend (XTTS)" in refused.json()["error"]["message"]
        assert both.files() == []


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ("The storm rolled in from the western sea.", "does not say the consent phrase"),
        (PHRASE.replace("I am the", "I am not the"), "deny"),
        (PHRASE.replace("I agree", "I don't agree"), "deny"),
        (PHRASE.replace("I agree", "I object"), "deny"),
        (PHRASE.replace("I agree that it", "it"), "not heard word for word"),
        ("", "does not say the consent phrase"),
        (f"{PHRASE} But only on Mondays and when the moon is full.", "does not say the consent phrase"),
    ],
)
async def test_other_words_are_no_consent(tmp_path: Path, heard: str, told: str) -> None:
    async with vocalizr(FakeSpeech(cloning=True), ears=ears(heard), vocalizr_voices_url=tmp_path.as_uri()) as client:
        both = Replicas(client, client, tmp_path)
        refused = await both.consent()
        assert refused.status_code == 422
        assert told in refused.json()["error"]["message"]
        assert PHRASE in refused.json()["error"]["message"]
        assert both.files() == []


async def test_the_phrase_is_known_beforehand_and_never_told_to_the_transcriber(tmp_path: Path) -> None:
    both_ears = ears()
    async with vocalizr(FakeSpeech(cloning=True), ears=both_ears, vocalizr_voices_url=tmp_path.as_uri()) as client:
        phrases = (await client.get(f"{CONSENTS}/phrases")).json()["data"]
        assert {"language": "en", "text": PHRASE} in phrases
        both = Replicas(client, client, tmp_path)
        assert (await both.consent()).status_code == 200
        assert [hint.prompt for hint in both_ears.transcriber.hints] == [None]  # type: ignore[attr-defined]
        refused = await both.consent(language="xx")
        assert refused.status_code == 422
        assert "There is one in: en" in refused.json()["error"]["message"]


NOISE = (samples(ANN) + np.random.default_rng(1).standard_normal(5 * RATE).astype(np.float32) * 0.08).astype(np.float32)


@pytest.mark.parametrize(
    ("sound", "status", "told"),
    [
        (encoded(samples(ANN, 1.0)), 422, "Speak longer"),
        (encoded(np.clip(samples(ANN, loudness=4), -1, 1)), 422, "clipped"),
        (encoded(NOISE), 422, "noisy"),
        (encoded(np.zeros(5 * RATE, np.float32)), 422, "nobody is heard"),
        (encoded(samples(ANN, loudness=0.001)), 422, "too quiet"),
        (encoded(np.concatenate([samples(ANN, 4.0), np.zeros(20 * RATE, np.float32)])), 422, "Cut the silence away"),
        (encoded(samples(ANN, 61.0)), 413, "longer than 60 seconds"),
        (encoded(samples(ANN)[::3], rate=8000), 422, "at least 16,000"),
        (b"MZ" + bytes(1000), 422, "Send one of wav"),
        (b"", 422, "as a file"),
        (recorded(ANN)[:30], 422, "audio_sample"),
        (b"RIFF\xff\xff\xff\xffWAVEjunk" + bytes(300), 422, "cannot be decoded"),
        (b"fLaC" + bytes(300), 422, "cannot be decoded"),
        (b"#EXTM3U\nhttp://127.0.0.1:9/secret\n", 422, "Send one of wav"),
        (bytes(10 * 1024 * 1024 + 1), 413, "at most 10 MiB"),
    ],
)
async def test_a_sample_that_will_not_do_says_what_to_change(
    replicas: Replicas, sound: bytes, status: int, told: str
) -> None:
    refused = await replicas.clone(await replicas.consented(), sound)
    assert refused.status_code == status, refused.text
    assert told in refused.json()["error"]["message"]


@pytest.mark.parametrize("audio_format", ["mp3", "opus", "aac", "flac"])
async def test_samples_come_in_any_common_form(replicas: Replicas, audio_format: str) -> None:
    made = await replicas.clone(await replicas.consented(), recorded(ANN, audio_format))
    assert made.status_code == 200, made.text


async def test_another_tenant_sees_uses_and_removes_nothing(replicas: Replicas) -> None:
    consent = await replicas.consented()
    voice = (await replicas.clone(consent)).json()["id"]
    blend = {"name": "Middle", "blend": {"high": 1, "low": 1}}
    designed = (await replicas.one.post(VOICES, json=blend, headers=TENANT)).json()["id"]
    for made in (voice, designed):
        assert (await replicas.say(replicas.one, made, OTHER)).status_code == 404
        assert (await replicas.one.get(f"{VOICES}/{made}", headers=OTHER)).status_code == 404
        assert (await replicas.one.delete(f"{VOICES}/{made}", headers=OTHER)).status_code == 404
    assert (await replicas.one.get(f"{CONSENTS}/{consent}", headers=OTHER)).status_code == 404
    assert (await replicas.one.delete(f"{CONSENTS}/{consent}", headers=OTHER)).status_code == 404
    assert (await replicas.one.post(f"{CONSENTS}/{consent}", json={"name": "x"}, headers=OTHER)).status_code == 404
    assert (await replicas.clone(consent, headers=OTHER)).status_code == 404
    assert (await replicas.one.get(CONSENTS, headers=OTHER)).json()["data"] == []
    listed = (await replicas.one.get(VOICES, headers=OTHER)).json()["data"]
    assert {each["kind"] for each in listed} == {"built_in"}
    for bad in ("../acme", "a/b", "", "x" * 65):
        answer = await replicas.one.get(CONSENTS, headers={"x-chatacter-tenant": bad})
        assert answer.status_code == 422
    assert (await replicas.say(replicas.one, voice)).status_code == 200


async def test_a_designed_voice_is_a_blend_that_any_replica_speaks(replicas: Replicas) -> None:
    asked = {"name": "Middle", "blend": {"high": 3, "low": 1}}
    made = (await replicas.one.post(VOICES, json=asked, headers=TENANT)).json()
    assert (made["kind"], made["type"], made["blend"]) == ("designed", "blend", {"high": 3, "low": 1})
    said = await replicas.say(replicas.other, made["id"])
    assert pitch_of(said.content) == pytest.approx(440 * 0.75 + 110 * 0.25, rel=0.05)
    assert (await replicas.other.get(f"{VOICES}/{made['id']}", headers=TENANT)).json() == made
    assert (await replicas.other.delete(f"{VOICES}/{made['id']}", headers=TENANT)).json()["deleted"] is True
    assert (await replicas.say(replicas.one, made["id"])).status_code == 404
    assert (await replicas.one.delete(f"{VOICES}/{made['id']}", headers=TENANT)).status_code == 404
    assert replicas.files() == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"name": "x", "blend": {"nobody": 1}}, "This model has: high, low"),
        ({"name": "x", "blend": {}}, "blend"),
        ({"name": "x", "blend": {"high": 0}}, "greater than 0"),
        ({"name": "x", "blend": {"high": -1}}, "greater than 0"),
        ({"name": " ", "blend": {"high": 1}}, "name"),
        ({"name": "x", "type": "prompt", "prompt": "Deep and calm."}, "cannot be made from a description"),
        ({"name": "x"}, "blend"),
        ([], "body"),
    ],
)
async def test_a_blend_that_cannot_be_says_why(replicas: Replicas, body: object, told: str) -> None:
    refused = await replicas.one.post(VOICES, json=body, headers=TENANT)
    assert refused.status_code == 422
    assert told in refused.json()["error"]["message"]


async def test_consents_are_paged_and_renamed(replicas: Replicas) -> None:
    made = [await replicas.consented() for _ in range(3)]
    first = (await replicas.one.get(f"{CONSENTS}?limit=2", headers=TENANT)).json()
    assert first["has_more"] is True
    rest = (await replicas.other.get(f"{CONSENTS}?limit=2&after={first['last_id']}", headers=TENANT)).json()
    assert rest["has_more"] is False
    assert {each["id"] for page in (first, rest) for each in page["data"]} == set(made)
    renamed = await replicas.one.post(f"{CONSENTS}/{made[0]}", json={"name": "Annie"}, headers=TENANT)
    assert renamed.json()["name"] == "Annie"
    assert (await replicas.other.get(f"{CONSENTS}/{made[0]}", headers=TENANT)).json()["name"] == "Annie"


async def test_deleting_a_voice_keeps_the_consent(replicas: Replicas) -> None:
    consent = await replicas.consented()
    voice = (await replicas.clone(consent)).json()["id"]
    assert (await replicas.one.delete(f"{VOICES}/{voice}", headers=TENANT)).status_code == 200
    assert (await replicas.one.get(f"{CONSENTS}/{consent}", headers=TENANT)).status_code == 200
    assert (await replicas.clone(consent)).status_code == 200


async def test_what_came_with_the_model_is_not_deleted(replicas: Replicas) -> None:
    refused = await replicas.one.delete(f"{VOICES}/high", headers=TENANT)
    assert (refused.status_code, "voices of your own" in refused.json()["error"]["message"]) == (404, True)


async def test_a_description_is_refused_as_a_form_too(replicas: Replicas) -> None:
    form = {"name": (None, "x"), "type": (None, "prompt"), "prompt": (None, "Deep and calm.")}
    refused = await replicas.one.post(VOICES, files=form, headers=TENANT)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "type")
    assert "cannot be made from a description" in refused.json()["error"]["message"]


async def test_more_samples_than_five_are_refused(replicas: Replicas) -> None:
    refused = await replicas.clone(await replicas.consented(), *[recorded(ANN)] * 6)
    assert refused.status_code == 422
    assert "at most 5" in refused.json()["error"]["message"]


async def test_a_likeness_that_is_not_stored_is_worked_out_once(replicas: Replicas) -> None:
    """As where the model was changed since the voice was made."""
    voice = (await replicas.clone(await replicas.consented())).json()["id"]
    (kept,) = [path for path in replicas.files() if path.parent.name == "likeness"]
    kept.unlink()
    said = await replicas.say(replicas.other, voice)
    assert pitch_of(said.content) == pytest.approx(ANN, rel=0.05)
    assert kept.is_file()


async def test_a_likeness_that_two_want_is_worked_out_once_at_a_place_of_the_model_s(tmp_path: Path) -> None:
    seen = threading.Event()

    class Slow(FakeSpeech):
        learning = 0

        def conditioned(self, recordings: Any) -> bytes:
            Slow.learning += 1
            assert Slow.learning == 1 or seen.wait(20)
            return super().conditioned(recordings)

    async with vocalizr(Slow(cloning=True), ears=ears(), vocalizr_voices_url=tmp_path.as_uri()) as client:
        both = Replicas(client, client, tmp_path)
        voice = (await both.clone(await both.consented())).json()["id"]
        next(path for path in both.files() if path.parent.name == "likeness").unlink()
        said = asyncio.gather(both.say(client, voice), both.say(client, voice))
        await until_metric(client, "chatacter_inference_running", 1)
        seen.set()
        assert [each.status_code for each in await said] == [200, 200]
        assert Slow.learning == 2


async def test_a_voice_of_an_interrupted_revocation_is_silent_and_can_be_removed(replicas: Replicas) -> None:
    consent = await replicas.consented()
    voice = (await replicas.clone(consent)).json()["id"]
    (replicas.root / "acme" / "consents" / consent / "removed").write_text("1")
    assert (await replicas.say(replicas.one, voice)).status_code == 404
    assert (await replicas.clone(consent)).status_code == 404
    listed = (await replicas.one.get(VOICES, headers=TENANT)).json()["data"]
    assert voice not in [each["id"] for each in listed]
    assert (await replicas.one.delete(f"{CONSENTS}/{consent}", headers=TENANT)).status_code == 200
    assert replicas.files() == []


async def test_a_consent_revoked_while_a_voice_is_made_leaves_nothing(tmp_path: Path) -> None:
    """The other replica revokes between the check of the consent and the storing of the voice."""
    root = tmp_path / "voices"

    class Slow(FakeSpeech):
        def conditioned(self, recordings: Any) -> bytes:
            record = next(path for path in root.rglob("record.json"))
            (record.parent / "removed").write_text("1")
            return super().conditioned(recordings)

    async with vocalizr(Slow(cloning=True), ears=ears(), vocalizr_voices_url=root.as_uri()) as client:
        both = Replicas(client, client, root)
        refused = await both.clone(await both.consented())
        assert refused.status_code == 409
        assert [path for path in both.files() if "voices" in path.relative_to(root).parts] == []
