"""Voices of one's own taken from one installation to another: nothing in a file is believed, and nothing gets lost."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.test_own_voices import CONSENTS, OTHER, TENANT, VOICES, Replicas, pitch_of
from tests.tone_people import ANN, BOB, PHRASE, ears, recorded
from tests.vocalizr_server import vocalizr
from vocalizr.backends.fake import FakeSpeech
from vocalizr.cloning.voices import MOST_VOICES
from vocalizr.listening.fakes import FakeTranscriber

pytestmark = pytest.mark.integration

IMPORT = f"{VOICES}/import"
BLEND = {"name": "Middle", "blend": {"high": 3, "low": 1}}


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[tuple[Replicas, Replicas]]:
    """Two installations that share nothing."""
    async with AsyncExitStack() as stack:
        made = []
        for name in ("here", "there"):
            root = tmp_path / name
            served = vocalizr(FakeSpeech(cloning=True), ears=ears(), vocalizr_voices_url=root.as_uri())
            client = await stack.enter_async_context(served)
            made.append(Replicas(client, client, root))
        yield made[0], made[1]


async def taken(house: Replicas, voice: str) -> dict[str, Any]:
    answer = await house.one.get(f"{VOICES}/{voice}/export", headers=TENANT)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def put(house: Replicas, archive: Any) -> httpx.Response:
    return await house.one.post(IMPORT, json=archive, headers=TENANT)


async def cloned(house: Replicas, *sounds: bytes) -> str:
    return str((await house.clone(await house.consented(), *sounds)).json()["id"])


async def own(house: Replicas) -> list[str]:
    listed = (await house.one.get(VOICES, headers=TENANT)).json()["data"]
    return [each["id"] for each in listed if each["kind"] != "built_in"]


def written(sound: bytes) -> str:
    return base64.urlsafe_b64encode(sound).decode()


async def test_a_cloned_voice_speaks_elsewhere_and_keeps_its_consent(houses: tuple[Replicas, Replicas]) -> None:
    here, there = houses
    archive = await taken(here, await cloned(here, recorded(ANN), recorded(ANN * 1.02, "flac")))
    assert set(archive) == {"object", "version", "id", "kind", "name", "created_at", "consent", "samples"}
    arrived = await put(there, archive)
    assert arrived.status_code == 200, arrived.text
    voice = arrived.json()
    assert (voice["kind"], voice["name"], voice["language"]) == ("cloned", "Mine", "en-US")
    assert voice["created_at"] == archive["created_at"]
    said = await there.say(there.one, voice["id"])
    assert pitch_of(said.content) == pytest.approx(ANN * 1.01, rel=0.05)
    (consent,) = (await there.one.get(CONSENTS, headers=TENANT)).json()["data"]
    assert (consent["id"], consent["name"], consent["language"]) == (voice["consent"], "Ann", "en-US")
    assert consent["created_at"] == archive["consent"]["given_at"]
    (record,) = [path for path in there.files() if path.parent.name == consent["id"] and path.name == "record.json"]
    kept = json.loads(record.read_text())
    assert (kept["heard"], kept["given"]["key"]) == (PHRASE, "ann"), "it was listened to here"
    assert kept["imported_at"] >= kept["given"]["at"]
    await there.one.delete(f"{CONSENTS}/{consent['id']}", headers=TENANT)
    assert (await there.say(there.one, voice["id"])).status_code == 404
    assert there.files() == []


async def test_a_designed_voice_is_blended_anew(houses: tuple[Replicas, Replicas]) -> None:
    here, there = houses
    made = (await here.one.post(VOICES, json=BLEND, headers=TENANT)).json()
    arrived = (await put(there, await taken(here, made["id"]))).json()
    assert {**arrived, "id": made["id"]} == made
    said = await there.say(there.one, arrived["id"])
    assert pitch_of(said.content) == pytest.approx(440 * 0.75 + 110 * 0.25, rel=0.05)


async def test_what_is_put_down_twice_is_one_and_what_is_there_already_stays(houses: tuple[Replicas, Replicas]) -> None:
    here, there = houses
    voice, designed = await cloned(here), (await here.one.post(VOICES, json=BLEND, headers=TENANT)).json()["id"]
    for each in (voice, designed):
        archive = await taken(here, each)
        assert (await put(here, archive)).json()["id"] == each
        first, again = [(await put(there, archive)).json() for _ in range(2)]
        assert first == again
    assert len(await own(there)) == 2
    assert len((await there.one.get(CONSENTS, headers=TENANT)).json()["data"]) == 1
    assert len(await own(here)) == 2


async def test_two_voices_of_one_id_stay_two(houses: tuple[Replicas, Replicas]) -> None:
    here, there = houses
    first = (await there.one.post(VOICES, json=BLEND, headers=TENANT)).json()
    archive = await taken(
        here, (await here.one.post(VOICES, json={**BLEND, "name": "Other"}, headers=TENANT)).json()["id"]
    )
    arrived = await put(there, {**archive, "id": first["id"]})
    assert arrived.json()["id"] != first["id"]
    assert (await there.one.get(f"{VOICES}/{first['id']}", headers=TENANT)).json() == first
    assert len(await own(there)) == 2


async def test_voices_of_one_speaker_share_the_consent(houses: tuple[Replicas, Replicas]) -> None:
    here, there = houses
    consent = await here.consented()
    voices = [(await here.clone(consent, recorded(pitch))).json()["id"] for pitch in (ANN, ANN * 1.01)]
    arrived = [(await put(there, await taken(here, each))).json() for each in voices]
    assert arrived[0]["id"] != arrived[1]["id"]
    assert arrived[0]["consent"] == arrived[1]["consent"]


async def test_a_revoked_voice_is_not_taken_and_no_archive_brings_it_back(houses: tuple[Replicas, Replicas]) -> None:
    here, there = houses
    consent = await here.consented()
    voice = (await here.clone(consent)).json()["id"]
    archive = await taken(here, voice)
    await here.one.delete(f"{CONSENTS}/{consent}", headers=TENANT)
    assert (await here.one.get(f"{VOICES}/{voice}/export", headers=TENANT)).status_code == 404
    refused = await put(here, archive)
    assert refused.status_code == 409
    assert "was revoked here" in refused.json()["error"]["message"]
    assert here.files() == []
    arrived = (await put(there, archive)).json()
    await there.one.delete(f"{CONSENTS}/{arrived['consent']}", headers=TENANT)
    assert (await put(there, archive)).status_code == 409
    assert there.files() == []


async def test_a_consent_revoked_while_its_voice_is_put_down_leaves_nothing(tmp_path: Path) -> None:
    async with vocalizr(FakeSpeech(cloning=True), ears=ears(), vocalizr_voices_url=(tmp_path / "a").as_uri()) as one:
        here = Replicas(one, one, tmp_path / "a")
        archive = await taken(here, await cloned(here))
    root = tmp_path / "b"

    class Slow(FakeSpeech):
        """The other replica took the same archive and revoked its consent."""

        def conditioned(self, recordings: Any) -> bytes:
            (root / "acme" / "revoked").mkdir(parents=True)
            (root / "acme" / "revoked" / hashlib.sha256(recorded(ANN)).hexdigest()).write_text("1")
            return super().conditioned(recordings)

    async with vocalizr(Slow(cloning=True), ears=ears(), vocalizr_voices_url=root.as_uri()) as client:
        there = Replicas(client, client, root)
        assert (await put(there, archive)).status_code == 409
        assert there.files() == []


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"consent": None}, 422, "comes with the recorded consent of its speaker"),
        ({"samples": [written(recorded(BOB))]}, 422, "does not sound like the one who consented"),
        ({"samples": []}, 422, "send 1 to 5"),
        ({"samples": [written(recorded(ANN))] * 6}, 422, "samples"),
        ({"samples": ["*"]}, 422, "samples.0"),
        ({"blend": {"high": 1}}, 422, "made of samples"),
        ({"kind": "designed"}, 422, "made of a blend, and of nothing else"),
        ({"id": "../../consents"}, 422, "id"),
        ({"version": 2}, 422, "version"),
        ({"likeness": "AAAA"}, 422, "likeness"),
    ],
)
async def test_what_is_no_voice_is_refused_with_the_reason_and_leaves_nothing(
    houses: tuple[Replicas, Replicas], change: dict[str, Any], status: int, told: str
) -> None:
    here, there = houses
    archive = await taken(here, await cloned(here))
    refused = await put(there, {**archive, **change})
    assert refused.status_code == status, refused.text
    assert told in refused.json()["error"]["message"]
    assert there.files() == []


async def test_a_consent_that_says_something_else_is_refused(tmp_path: Path) -> None:
    both = ears()
    async with vocalizr(FakeSpeech(cloning=True), ears=both, vocalizr_voices_url=tmp_path.as_uri()) as client:
        house = Replicas(client, client, tmp_path)
        archive = await taken(house, await cloned(house))
        assert isinstance(both.transcriber, FakeTranscriber)
        both.transcriber.text = "The storm rolled in from the western sea."
        archive["consent"]["recording"] = written(recorded(ANN, seconds=6.0))
        before = house.files()
        refused = await put(house, archive)
        assert refused.status_code == 422
        assert "does not say the consent phrase" in refused.json()["error"]["message"]
        assert house.files() == before


async def test_a_model_that_cannot_speak_it_says_so_and_keeps_nothing(
    houses: tuple[Replicas, Replicas], tmp_path: Path
) -> None:
    here, _ = houses
    archive = await taken(here, await cloned(here))
    root = tmp_path / "without"
    async with vocalizr(FakeSpeech(), ears=ears(), vocalizr_voices_url=root.as_uri()) as client:
        refused = await put(Replicas(client, client, root), archive)
        assert refused.status_code == 422
        assert "cannot speak in another's voice" in refused.json()["error"]["message"]
        design = {"object": "audio.voice.archive", "id": "voice_" + "0" * 32, "kind": "designed", "created_at": 1}
        refused = await put(Replicas(client, client, root), {**design, "name": "X", "blend": {"af_heart": 1}})
        assert "This model has: high, low" in refused.json()["error"]["message"]
        assert [path for path in root.rglob("*") if path.is_file()] == []


async def test_what_is_put_down_counts_among_the_most_voices_that_there_may_be(
    houses: tuple[Replicas, Replicas],
) -> None:
    here, there = houses
    archive = await taken(here, await cloned(here))
    made = (await there.one.post(VOICES, json=BLEND, headers=TENANT)).json()["id"]
    (record,) = there.root.rglob(f"{made}/record.json")
    for number in range(MOST_VOICES - 1):
        folder = record.parent.parent / f"voice_{number:032x}"
        folder.mkdir()
        (folder / record.name).write_bytes(record.read_bytes())
    refused = await put(there, archive)
    assert refused.status_code == 422, refused.text
    assert "at most 200 at a time" in refused.json()["error"]["message"]
    assert (await there.one.get(CONSENTS, headers=TENANT)).json()["data"] == []


async def test_another_tenant_takes_nothing_and_what_came_with_the_model_stays(
    houses: tuple[Replicas, Replicas],
) -> None:
    here, _ = houses
    voice = await cloned(here)
    assert (await here.one.get(f"{VOICES}/{voice}/export", headers=OTHER)).status_code == 404
    assert (await here.one.get(f"{VOICES}/high/export", headers=TENANT)).status_code == 404
