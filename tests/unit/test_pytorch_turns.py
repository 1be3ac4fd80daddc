"""Turns at models on PyTorch: with a seed, two models of one process do not draw from its generator at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch")

from vocalizr.backends.pytorch.turns import Turns

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("seed", "waits"), [(3, True), (None, False)])
def test_with_a_seed_a_piece_of_another_model_waits_for_its_turn(seed: int | None, waits: bool) -> None:
    def spoken() -> None:
        with Turns("cpu", seed).utterance()():
            pass

    with ThreadPoolExecutor(1) as threads:
        with Turns("cpu", seed).utterance()():
            other = threads.submit(spoken)
            if waits:
                with pytest.raises(TimeoutError):
                    other.result(0.1)
            else:
                other.result(10)
        other.result(10)
