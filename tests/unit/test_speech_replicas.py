"""Speech by replicas, as the service sees them: what is asked of them once, and what they are called."""

import pickle
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from chatacter.chassis.errors import InvalidInput, NotReady, TooLarge, Unavailable
from chatacter.serving import replicas as serving
from chatacter.serving.batching import untold
from chatacter.serving.replicas import Replicas, Replication
from vocalizr.backend import NothingToSay, SpeechChunk, Utterance
from vocalizr.backends.fake import RATE, FakeSpeech, FakeTogether
from vocalizr.replicas import OnReplicas
from vocalizr.settings import VocalizrSettings
from vocalizr.together import InCompany

pytestmark = pytest.mark.unit

PLAN = Replication.of(VocalizrSettings(), "vocalizr", "fake", 1)


class Local(Replicas):
    """A replica in this process."""

    def __init__(self, model: FakeSpeech) -> None:
        super().__init__(PLAN, FakeSpeech)
        self.model = model
        self.asked: list[str] = []

    def load(self) -> None:
        self.model.capabilities = replace(self.model.capabilities, sample_rate=22050)

    def call(self, verb: str, *arguments: Any) -> Any:
        self.asked.append(verb)
        return getattr(self.model, verb)(*arguments)

    def told(self, name: str) -> Any:
        return getattr(self.model, name)

    def stream(self, verb: str, *arguments: Any, cancelled: threading.Event) -> Iterator[Any]:
        self.asked.append(arguments[0].text)
        return iter(getattr(self.model, verb)(*arguments, cancelled))


def test_voices_are_asked_for_once_and_capabilities_are_those_of_the_loaded_model() -> None:
    model = FakeTogether()
    local = Local(model)
    backend = OnReplicas(replace(model.capabilities, together=None, places=4), local)
    with pytest.raises(NotReady):
        backend.voices()
    backend.load()
    assert [[voice.id for voice in backend.voices()] for _ in range(3)] == [["high", "low"]] * 3
    assert local.asked == ["voices"]
    told = backend.capabilities
    assert (told.sample_rate, told.together, told.places) == (22050, None, 4)


def test_replicas_of_one_model_have_a_name_for_each_service_that_started_them() -> None:
    one, other = (Replication.of(VocalizrSettings(), "vocalizr", "org/narrator#1", 1).name for _ in range(2))
    assert one != other
    assert one.startswith("vocalizr-org-narrator-1-")


def test_an_answer_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Silent()
    monkeypatch.setattr(serving, "ANSWER_SECONDS", 0.01)
    silent = Replicas(PLAN, FakeSpeech)
    silent._handle = asked
    with pytest.raises(Unavailable):
        silent.call("conditioned", [])
    assert asked.answer.cancelled()


class Silent:
    """A handle whose answer never comes."""

    def __init__(self) -> None:
        self.answer: Future[None] = Future()
        self.call = self

    def remote(self, *_: Any) -> "Silent":
        return self

    def result(self, timeout_s: float | None) -> None:
        self.answer.result(timeout_s)

    def cancel(self) -> None:
        self.answer.cancel()


def test_what_speaks_for_many_blends_too() -> None:
    shares: Mapping[str, float] = {"high": 1.0, "low": 1.0}
    assert InCompany(FakeTogether(), untold).blended(shares) == FakeTogether().blended(shares)


def test_a_long_text_is_asked_for_stretch_by_stretch_on_one_clock() -> None:
    model = FakeSpeech()
    local = Local(model)
    backend = OnReplicas(model.capabilities, local)
    stretch = "One sentence of some forty letters here. " * 48
    text = f"{stretch}\n{'😀 ' * 900}\n{stretch}"
    chunks = list(backend.speak(Utterance(text, "high", 4.0, None, None), threading.Event()))
    assert [part.strip() for part in local.asked] == [part.strip() for part in text.split("\n")]
    phonemes = [phoneme for chunk in chunks for phoneme in chunk.phonemes]
    assert all(one.end == pytest.approx(other.start) for one, other in pairwise(phonemes))
    assert phonemes[-1].end == pytest.approx(sum(chunk.samples.size for chunk in chunks) / RATE)


def test_what_a_replica_refuses_for_another_reason_is_refused() -> None:
    class Picky(FakeSpeech):
        def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
            if "9" in utterance.text:
                raise TooLarge("Numbers are too much.")
            return super().speak(utterance, cancelled)

    backend = OnReplicas(FakeSpeech().capabilities, Local(Picky()))
    text = "One sentence of some forty letters here. " * 60 + "\n9."
    with pytest.raises(TooLarge):
        list(backend.speak(Utterance(text, "high", 4.0, None, None), threading.Event()))


def test_a_voice_that_is_somebody_else_each_time_says_all_of_a_text() -> None:
    local = Local(FakeSpeech())
    backend = OnReplicas(replace(FakeSpeech().capabilities, drawn=frozenset({"low"})), local)
    text = "One sentence of some forty letters here. " * 60
    for voice in ("high", "low"):
        list(backend.speak(Utterance(text, voice, 4.0, None, None), threading.Event()))
    assert [len(part) for part in local.asked[-1:]] == [len(text)]
    assert len(local.asked) > 2


def test_a_refusal_comes_from_another_process_as_it_was_raised() -> None:
    told = pickle.loads(pickle.dumps(NothingToSay("Nothing.", param="input")))
    assert (type(told), told.message, told.param) == (NothingToSay, "Nothing.", "input")


def test_a_text_without_a_sound_is_refused_by_the_replica() -> None:
    backend = OnReplicas(FakeSpeech().capabilities, Local(FakeSpeech()))
    with pytest.raises(InvalidInput):
        list(backend.speak(Utterance("😀 …", "high", 1.0, None, None), threading.Event()))
