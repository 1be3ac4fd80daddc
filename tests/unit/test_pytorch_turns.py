"""Turns at models on PyTorch: models of one process draw from its generator one at a time, and each its own numbers."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("torch")

import torch

from vocalizr.backends.pytorch.turns import Turns

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("seed", [3, None])
def test_a_piece_of_another_model_waits_for_its_turn_with_a_seed_or_without(seed: int | None) -> None:
    def spoken() -> None:
        with Turns("cpu", seed).utterance()():
            pass

    with ThreadPoolExecutor(1) as threads:
        with Turns("cpu", 3).utterance()():
            other = threads.submit(spoken)
            with pytest.raises(TimeoutError):
                other.result(0.1)
        other.result(10)


def test_what_has_no_seed_sounds_different_each_time_whatever_was_spoken_before() -> None:
    turns = Turns("cpu", None)

    def drawn(seed: int | None) -> list[float]:
        turn = turns.utterance(seed)
        found = []
        for _ in range(2):
            with turn():
                found += torch.rand(2).tolist()
        return found

    one, seeded, other = drawn(None), drawn(7), drawn(None)
    assert drawn(7) == seeded
    assert len({*one, *other, *drawn(None)}) == 12


def test_a_seed_leaves_the_generator_as_it_found_it_also_where_a_piece_fails() -> None:
    def broken() -> None:
        with Turns("cpu", 7).utterance()():
            raise ArithmeticError

    before = torch.get_rng_state()
    with pytest.raises(ArithmeticError):
        broken()
    assert torch.equal(torch.get_rng_state(), before)
