"""A model of which is known only when it is loaded that it speaks for several at once."""

import threading
from dataclasses import replace

import pytest

from chatacter.serving.batching import Batch
from vocalizr.app import places
from vocalizr.as_loaded import AsLoaded
from vocalizr.backend import Utterance
from vocalizr.backends.fake import FakeTogether
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.unit


class Hidden(FakeTogether):
    """Says what it can when it is loaded, as a model does that was named at a hub."""

    def __init__(self) -> None:
        super().__init__()
        self.known = self.capabilities
        self.capabilities = replace(self.known, together=None)

    def load(self) -> None:
        super().load()
        self.capabilities = self.known


def test_it_speaks_in_batches_and_has_their_places_once_it_is_loaded() -> None:
    told: list[Batch] = []
    hidden = Hidden()
    backend = AsLoaded(hidden, told.append)
    settings = VocalizrSettings()
    said = Utterance("One sentence. Another sentence.", "high", 1.0, None, None)
    assert places(settings, backend.capabilities) == 1
    before = list(backend.speak(said, threading.Event()))
    assert told == []
    backend.load()
    after = list(backend.speak(said, threading.Event()))
    assert len(told) == len(after) == len(before) == 2
    assert [chunk.phonemes for chunk in after] == [chunk.phonemes for chunk in before]
    assert places(settings, backend.capabilities) == 16
