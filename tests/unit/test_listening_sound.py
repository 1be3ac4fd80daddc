"""Uploaded sound, decoded within bounds that its own rate does not stretch."""

import numpy as np
import pytest

from chatacter.chassis.errors import TooLarge
from tests.tone_people import encoded
from vocalizr.listening.sound import decoded

pytestmark = pytest.mark.unit

HIGH = 192_000


def test_what_is_only_listened_to_keeps_no_more_samples_than_are_heard() -> None:
    sound = encoded(np.zeros(2 * HIGH, np.float32), "flac", HIGH)
    assert decoded(sound, longest=3, param="file").samples.size == 2 * HIGH
    heard = decoded(sound, longest=3, param="file", rate=16_000)
    assert heard.rate == 16_000
    assert heard.samples.size == pytest.approx(2 * 16_000, abs=200)
    with pytest.raises(TooLarge):
        decoded(sound, longest=1, param="file", rate=16_000)
