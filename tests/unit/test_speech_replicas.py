"""Speech by replicas, as the service sees them: what is asked of them once, and what they are called."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from chatacter.chassis.errors import NotReady, Unavailable
from chatacter.serving import replicas as serving
from chatacter.serving.batching import untold
from chatacter.serving.replicas import Replicas, Replication
from vocalizr.backends.fake import FakeSpeech, FakeTogether
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
