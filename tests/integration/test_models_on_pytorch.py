"""VITS, XTTS and Bark as their real architectures, tiny and random, loaded from folders as any weights are."""

import hashlib
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chatacter.chassis.errors import Misconfigured, Unsupported
from tests import tiny_speech
from tests.service_process import running
from vocalizr.backend import Recording, SpeechBackend, Utterance
from vocalizr.backends.bark.backend import ANYBODY
from vocalizr.backends.bark.backend import create as create_bark
from vocalizr.backends.coqui.backend import create
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.integration

TEXT = "The ship sails at dawn, my friend. Will you come along?"


def settings(model: str, weights: Path, **more: Any) -> VocalizrSettings:
    return VocalizrSettings(vocalizr_model=model, vocalizr_weights=str(weights), vocalizr_threads=1, **more)


def loaded(make: Callable[[VocalizrSettings], SpeechBackend], told: VocalizrSettings) -> SpeechBackend:
    backend = make(told)
    backend.load()
    return backend


@pytest.fixture(scope="module")
def vits(tiny_vits: Path) -> SpeechBackend:
    return loaded(create, settings("coqui", tiny_vits))


@pytest.fixture(scope="module")
def xtts(tiny_xtts: Path) -> SpeechBackend:
    return loaded(create, settings("xtts", tiny_xtts, vocalizr_seed=3))


@pytest.fixture(scope="module")
def bark(tiny_bark: Path) -> SpeechBackend:
    return loaded(create_bark, settings("bark", tiny_bark, vocalizr_seed=3))


def chunks(backend: SpeechBackend, said: Utterance) -> list[np.ndarray]:
    return [chunk.samples for chunk in backend.speak(said, threading.Event())]


def sound(backend: SpeechBackend, said: Utterance) -> np.ndarray:
    return np.concatenate(chunks(backend, said))


def by(voice: str, text: str = TEXT, **more: Any) -> Utterance:
    return replace(Utterance(text, voice, 1.0, None, None), **more)


def test_vits_tells_its_speakers_and_each_sounds_its_own_way(vits: SpeechBackend) -> None:
    assert [voice.id for voice in vits.voices()] == sorted(tiny_speech.VITS_SPEAKERS)
    assert vits.capabilities.sample_rate == 22050
    assert not vits.capabilities.cloning


def test_without_a_seed_a_text_sounds_a_little_different_and_with_one_the_same(tiny_vits: Path) -> None:
    free, seeded = (loaded(create, settings("coqui", tiny_vits, vocalizr_seed=seed)) for seed in (None, 5))
    assert not np.array_equal(sound(free, by("bob")), sound(free, by("bob")))
    assert np.array_equal(sound(seeded, by("bob")), sound(seeded, by("bob")))
    assert not np.array_equal(sound(seeded, by("bob")), sound(seeded, by("eve")))


def test_pieces_meet_without_a_click(vits: SpeechBackend) -> None:
    """Each piece comes in two chunks: its sound from zero on, and its end, faded, with the pause."""
    heard = chunks(vits, by("bob"))
    for sounding, ending in zip(heard[::2], heard[1::2], strict=True):
        assert sounding[0] == 0 == ending[-1]
        pause = np.flatnonzero(ending)[-1] + 1
        assert abs(float(ending[pause - 1])) < 1e-3
        assert ending.size - pause > 0.1 * vits.capabilities.sample_rate


def test_a_model_with_phonemes_asks_for_espeak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny_speech.vits(tmp_path / "phonemes", use_phonemes=True, phonemizer="espeak")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match="espeak-ng"):
        create(settings("coqui", folder)).load()


def test_a_device_that_is_not_there_is_told(tiny_vits: Path) -> None:
    for device, said in (("cuda", "no CUDA device"), ("mps", "no Apple GPU")):
        with pytest.raises(Misconfigured, match=said):
            create(settings("coqui", tiny_vits, vocalizr_device=device)).load()
    with pytest.raises(Misconfigured, match="bfloat16"):
        create(settings("coqui", tiny_vits, vocalizr_dtype="float16")).load()


def test_a_folder_without_weights_says_what_is_missing(tiny_vits: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_vits / "config.json").read_bytes())
    with pytest.raises(Misconfigured, match=r"model\.pth is missing"):
        create(settings("coqui", tmp_path)).load()


def test_xtts_is_heard_before_a_sentence_is_made(xtts: SpeechBackend) -> None:
    """More chunks than sentences: the first of them comes while the rest of its sentence does not exist yet."""
    heard = [len(chunks(xtts, by("Ana Florence", f"The ship number {number} sails at dawn."))) for number in range(6)]
    assert max(heard) > 2


def test_xtts_speaks_its_languages_and_streams_side_by_side_do_not_mix(xtts: SpeechBackend) -> None:
    assert xtts.capabilities.languages == set(tiny_speech.XTTS_LANGUAGES)
    one, other = by("Ana Florence"), by("Viktor Menelaos", "Un autre texte, plus court.", language="fr")
    alone = [sound(xtts, each) for each in (one, other)]
    streams = [xtts.speak(each, threading.Event()) for each in (one, other)]
    heard: list[list[np.ndarray]] = [[], []]
    going = [True, True]
    while any(going):
        for number, stream in enumerate(streams):
            chunk = next(stream, None)
            going[number] = chunk is not None
            if chunk is not None:
                heard[number].append(chunk.samples)
    for expected, pieces in zip(alone, heard, strict=True):
        assert np.array_equal(expected, np.concatenate(pieces))


def test_a_likeness_is_safetensors_that_another_replica_speaks_with(xtts: SpeechBackend, tiny_xtts: Path) -> None:
    times = np.arange(22050 * 3) / 22050
    likeness = xtts.conditioned([Recording((0.3 * np.sin(2 * np.pi * 180 * times)).astype(np.float32), 22050)])
    assert likeness[8:9] == b"{"
    replica = loaded(create, settings("xtts", tiny_xtts, vocalizr_seed=3))
    cloned = by("mine", likeness=likeness)
    assert np.array_equal(sound(xtts, cloned), sound(replica, cloned))
    assert not np.array_equal(sound(xtts, cloned)[:5000], sound(xtts, by("Ana Florence"))[:5000])


def test_what_xtts_learns_speakers_with_has_a_name(xtts: SpeechBackend, tiny_xtts: Path, tmp_path: Path) -> None:
    named = xtts.capabilities.learns
    assert named == loaded(create, settings("xtts", tiny_xtts)).capabilities.learns != ""
    torch = tiny_speech.mended()
    shutil.copytree(tiny_xtts, tmp_path / "further")
    weights = torch.load(tmp_path / "further" / "model.pth", weights_only=True)
    heard = next(name for name in weights["model"] if "conditioning_encoder" in name)
    weights["model"][heard] += 1
    torch.save(weights, tmp_path / "further" / "model.pth")
    assert loaded(create, settings("xtts", tmp_path / "further")).capabilities.learns != named


def test_every_recording_has_its_share_of_what_xtts_listens_to(
    xtts: SpeechBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = xtts._loaded[0]._model  # type: ignore[attr-defined]
    listen, heard = model.get_gpt_cond_latents, []

    def listening(audio: Any, *rest: Any, **more: Any) -> Any:
        heard.append(audio)
        return listen(audio, *rest, **more)

    monkeypatch.setattr(model, "get_gpt_cond_latents", listening)
    length = 22050 * model.config.gpt_cond_len
    xtts.conditioned([Recording(np.full(length, level, np.float32), 22050) for level in (0.25, 0.5)])
    assert heard[0].shape[-1] == length // 2 * 2
    assert (float(heard[0][0, length // 4]), float(heard[0][0, -length // 4])) == pytest.approx((0.25, 0.5))


def test_a_sentence_of_many_numbers_is_cut_until_it_fits(xtts: SpeechBackend) -> None:
    assert sound(xtts, by("Ana Florence", "1234567 " * 12)).size


def test_weights_are_never_written_to(tiny_xtts: Path) -> None:
    def content() -> dict[str, str]:
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in tiny_xtts.iterdir()}

    before = content()
    loaded(create, settings("xtts", tiny_xtts))
    assert content() == before


def test_xtts_multiplies_in_other_numbers_where_asked(tiny_xtts: Path) -> None:
    half = loaded(create, settings("xtts", tiny_xtts, vocalizr_dtype="bfloat16", vocalizr_seed=3))
    assert np.isfinite(sound(half, by("Ana Florence", "Short."))).all()


def test_bark_has_the_voices_beside_its_weights(bark: SpeechBackend) -> None:
    assert [(voice.id, voice.language) for voice in bark.voices()] == [
        ("narrator", "en"),
        ("v2/de_speaker_3", "de"),
        (ANYBODY, "en"),
    ]


def test_a_voice_of_bark_is_not_asked_for_another_language(bark: SpeechBackend) -> None:
    named = bark.voices()[0]
    with pytest.raises(Unsupported, match=f"speaks {named.language}"):
        chunks(bark, by(named.id, language="ko"))
    assert chunks(bark, by(named.id, "Hi.", language=named.language))


def test_barks_signs_are_its_own_to_understand(tiny_bark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    backend = create_bark(settings("bark", tiny_bark))
    backend.load()
    assert backend._loaded is not None
    model, _ = backend._loaded
    tokenizer = model.tokenizer
    monkeypatch.setattr(model, "tokenizer", lambda text, **more: read.append(text) or tokenizer(text, **more))
    assert sound(backend, by("narrator", "Hello [laughs] there.")).size
    assert read == ["Hello [laughs] there."]


def test_anybody_is_somebody_to_the_end_of_a_text(bark: SpeechBackend) -> None:
    both = by(ANYBODY, "Here is one sentence. Here is another one.")
    first = by(ANYBODY, "Here is one sentence.")
    beginning = sound(bark, first)
    assert np.array_equal(sound(bark, both)[: beginning.size], beginning)


def test_bark_ends_in_the_middle_of_a_sentence_that_nobody_wants(bark: SpeechBackend) -> None:
    cancelled = threading.Event()
    stream = bark.speak(by("narrator"), cancelled)
    next(stream)
    cancelled.set()
    assert list(stream) == []


def test_a_process_speaks_vits_at_both_doors_and_finishes_after_sigterm(tiny_vits: Path, tmp_path: Path) -> None:
    told = {
        "VOCALIZR_MODEL": "coqui",
        "VOCALIZR_SERVED_NAME": "vits",
        "VOCALIZR_WEIGHTS": str(tiny_vits),
        "VOCALIZR_SEED": "1",
        "VOCALIZR_THREADS": "1",
        "LOG_FORMAT": "json",
    }
    asked = {"model": "vits", "input": f"{TEXT} " * 12, "voice": "bob", "response_format": "pcm"}
    with running("vocalizr", tmp_path, told) as service, httpx.Client(base_url=service.url, timeout=60) as client:
        whole = client.post("/v1/audio/speech", json=asked).raise_for_status().content
        assert len(whole) > 22050 * 2 * 10
        row = {"instances": [{"input": "Hello.", "voice": "bob", "response_format": "wav"}]}
        assert client.post("/v1/models/vits:predict", json=row).raise_for_status().json()["predictions"][0]["audio"]
        refused = client.post("/v1/audio/speech", json={**asked, "voice": "nobody"})
        assert (refused.status_code, "alice" in refused.text) == (404, True)
        assert client.post("/v1/audio/speech", json={**asked, "language": "fr"}).status_code == 422
        with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
            pieces = answer.iter_bytes()
            heard = [next(pieces)]
            service.process.send_signal(signal.SIGTERM)
            heard += list(pieces)
        assert b"".join(heard) == whole
        assert service.process.wait(30) == 0
        assert '"device": "cpu"' in service.written()
