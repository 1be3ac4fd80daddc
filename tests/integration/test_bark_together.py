"""Bark said together: the real architecture, small and with random weights, sounds as alone, whoever is beside it."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.batching import Left, Made, untold
from tests.tiny_speech import bark
from vocalizr.backend import Piece, Samples, Utterance
from vocalizr.backends.bark.backend import ANYBODY, BarkSpeech
from vocalizr.settings import VocalizrSettings
from vocalizr.together import together

pytestmark = pytest.mark.integration

# A difference that is rounding, as a share of the loudest sample.
WITHIN = 1e-4
TEXTS = (
    "Hi.",
    "A much longer sentence, that goes on and on for quite a while, because nobody stops it.",
    "Two words.",
    "[laughs] It was a bright cold day in april, and the clocks were striking thirteen.",
    "No!",
    "Somewhere in between, in length.",
)
VOICES = ("narrator", ANYBODY, "v2/de_speaker_3")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> BarkSpeech:
    """One whose sentences end of themselves, some in the first window of codes and some in the third."""
    folder = bark(tmp_path_factory.mktemp("bark") / "weights")
    settings = VocalizrSettings(vocalizr_model="bark", vocalizr_weights=str(folder), vocalizr_threads=1)
    loaded = BarkSpeech(settings)
    loaded.load()
    model, _ = loaded._ready()
    with torch.no_grad():  # random weights hardly look at what is before, and end nothing
        for network in (model.model.semantic, model.model.coarse_acoustics):
            for weights in network.parameters():
                weights.mul_(4)
        head = model.model.semantic.lm_head
        head.register_forward_hook(lambda _, __, scores: scores + end_sooner(scores))
    return loaded


def end_sooner(scores: torch.Tensor, by: float = -0.1) -> torch.Tensor:
    """What makes the end of a sentence about as likely as the likeliest code, or more so."""
    more = torch.zeros_like(scores)
    more[..., 10_000] = scores.amax(dim=-1) - scores[..., 10_000] + by
    return more


def asked(backend: BarkSpeech, count: int = 16) -> list[Piece]:
    """The first pieces of texts of many lengths, in three voices, two of which nobody has heard yet."""
    utterances = [
        Utterance(TEXTS[n % len(TEXTS)], VOICES[n % 5 % 3], 1.0, None, None, seed=11 + n) for n in range(count)
    ]
    return [backend.pieces(utterance)[0] for utterance in utterances]


def said(backend: BarkSpeech, pieces: Sequence[Piece], events: Sequence[threading.Event] = ()) -> dict[int, Any]:
    """The sound of each piece by its number, or what became of it."""
    made = backend.speak_together(pieces, events or [threading.Event() for _ in pieces])
    return {each.number: each.result.samples if isinstance(each, Made) else each for each in made}


@pytest.fixture(scope="module")
def by_itself(backend: BarkSpeech) -> list[Samples]:
    return [said(backend, [piece])[0] for piece in asked(backend)]


def assert_same(one: Samples, other: Samples) -> None:
    assert one.shape == other.shape
    assert np.abs(one - other).max() <= WITHIN * max(np.abs(one).max(), 1e-3)


def test_it_sounds_the_same_among_fifteen_others(backend: BarkSpeech, by_itself: list[Samples]) -> None:
    together = said(backend, asked(backend))
    turned = said(backend, asked(backend)[::-1])
    for number, sound in enumerate(by_itself):
        assert_same(sound, together[number])
        assert_same(sound, turned[15 - number])
    lengths = {sound.size for sound in by_itself}
    assert len(lengths) > 6
    assert max(lengths) > 24000 * 0.8


def test_what_it_draws_without_chance_is_what_transformers_itself_would(
    backend: BarkSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The likeliest code each time: the same codes as `generate` makes, alone, in each voice, over several windows."""
    model, company = backend._ready()
    for choice in (company._of_meaning, company._of_codes):
        monkeypatch.setattr(choice, "_drawn", False)
        monkeypatch.setattr(choice, "_shaping", [])
    steps, networks = model.steps, model.model
    seen: dict[int, Any] = {}
    monkeypatch.setattr(company, "_sound", lambda sentence: seen.setdefault(sentence.number, sentence) and np.ones(9))
    pieces = [backend.pieces(Utterance(TEXTS[n], VOICES[n % 3], 1.0, None, None))[0] for n in range(6)]
    said(backend, pieces)
    how = {"do_sample": False, "top_k": None}
    for number, piece in enumerate(pieces):
        text = model.tokenizer(
            piece.content.text, padding="max_length", max_length=256, return_tensors="pt", add_special_tokens=False
        )
        history = piece.content.speaker.history
        meaning = networks.semantic.generate(
            text["input_ids"],
            attention_mask=text["attention_mask"],
            history_prompt=history,
            semantic_generation_config=steps.meaning,
            **how,
        )
        assert seen[number].meaning == [code for code in meaning[0].tolist() if code != 10_000]
        coarse = networks.coarse_acoustics.generate(
            meaning,
            history_prompt=history,
            codebook_size=steps.codebook_size,
            semantic_generation_config=steps.meaning,
            coarse_generation_config=steps.coarse,
            **how,
        )
        assert seen[number].codes == coarse[0].tolist()


def test_codes_are_drawn_by_their_probabilities(backend: BarkSpeech) -> None:
    """As often as softmax of the scores says, of the fifty likeliest."""
    _, company = backend._ready()
    scores = torch.randn(1, 12_096, generator=torch.Generator().manual_seed(1)) * 3
    chance = torch.Generator().manual_seed(2)
    rows = 4000
    codes, sound = company._of_codes(scores.expand(rows, -1), 0, [chance] * rows)
    assert sound.all()
    of_first = scores[0, 10_000:11_024]
    best = of_first.topk(50)
    expected = torch.zeros(1024).index_copy(0, best.indices, functional.softmax(best.values, dim=0))
    found = torch.bincount(codes - 10_000, minlength=1024) / rows
    assert (found - expected).abs().max() < 4 * (0.25 / rows) ** 0.5
    assert found[expected == 0].sum() == 0


def test_who_hangs_up_is_gone_at_the_next_code_and_the_others_do_not_hear_it(
    backend: BarkSpeech, by_itself: list[Samples]
) -> None:
    model, _ = backend._ready()
    events = [threading.Event() for _ in range(16)]
    leaving = max(range(16), key=lambda number: by_itself[number].size)
    never = (leaving + 1) % 16
    events[never].set()
    rows: list[int] = []

    def watched(_: Any, inputs: tuple[torch.Tensor]) -> None:
        rows.append(len(inputs[0]))
        if len(rows) == 1:  # at the first code, as nobody ends before the second
            events[leaving].set()

    hook = model.model.coarse_acoustics.lm_head.register_forward_pre_hook(watched)
    together = said(backend, asked(backend), events)
    hook.remove()
    assert rows[1] == rows[0] - 1
    assert isinstance(together[leaving], Left)
    assert isinstance(together[never], Left)
    for number, sound in enumerate(by_itself):
        if number not in (never, leaving):
            assert_same(sound, together[number])
    assert isinstance(said(backend, asked(backend, 1), [events[never]])[0], Left)


def test_who_comes_later_joins_and_sounds_as_alone(backend: BarkSpeech, by_itself: list[Samples]) -> None:
    pieces = asked(backend)
    first, later = max(range(16), key=lambda number: by_itself[number].size), iter(pieces)
    waves = [[(piece, threading.Event()) for piece in islice(later, 4)] for _ in range(4)]
    made = backend.speak_together([pieces[first]], [threading.Event()], lambda: waves.pop(0) if waves else [])
    heard = {each.number: each.result.samples for each in made if isinstance(each, Made)}
    assert_same(by_itself[first], heard[0])
    for number, sound in enumerate(by_itself):
        assert_same(sound, heard[number + 1])
    assert next(iter(heard)) != 0  # a shorter one is not kept waiting for the end of a longer one


@pytest.mark.parametrize("where", ["reading", "drawing"])
def test_where_those_who_join_find_no_memory_who_is_there_goes_on(
    backend: BarkSpeech, by_itself: list[Samples], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    model, company = backend._ready()
    read = company._read

    def reading(sentence: Any) -> torch.Tensor:
        if sentence.number in (1, 2):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(sentence)

    def drawing(network: Any, inputs: Any, more: Any) -> None:
        if len(more["inputs_embeds"]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    pieces = asked(backend)
    first = max(range(16), key=lambda number: by_itself[number].size)
    coming = [[(piece, threading.Event()) for piece in pieces[:2]]]
    if where == "reading":
        monkeypatch.setattr(company, "_read", reading)
    hook = model.model.semantic.register_forward_pre_hook(
        drawing if where == "drawing" else lambda *_: None, with_kwargs=True
    )
    made = backend.speak_together([pieces[first]], [threading.Event()], lambda: coming.pop() if coming else [])
    came = {each.number: each for each in made}
    hook.remove()
    assert {number: type(came[number].error) for number in (1, 2)} == {1: OutOfMemory, 2: OutOfMemory}  # type: ignore[union-attr]
    assert_same(by_itself[first], came[0].result.samples)  # type: ignore[union-attr]


def test_a_voice_whose_numbers_are_none_harms_nobody(backend: BarkSpeech, by_itself: list[Samples]) -> None:
    pieces = asked(backend, 6)
    _, company = backend._ready()
    read = company._read

    def broken(sentence: Any) -> torch.Tensor:
        return read(sentence) * (float("nan") if sentence.number == 3 else 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(company, "_read", broken)
        together = said(backend, pieces)
    assert isinstance(together[3].error, ArithmeticError)
    for number in (0, 1, 2, 4, 5):
        assert_same(by_itself[number], together[number])


def entered(batcher: Any, count: int, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What is set once so many requests are with a batcher."""
    enter, all_here = batcher._enter, threading.Event()

    def entering(turn: Any) -> None:
        enter(turn)
        if len(batcher._turns) == count:
            all_here.set()

    monkeypatch.setattr(batcher, "_enter", entering)
    return all_here


def test_a_voice_that_fails_or_no_memory_ends_only_the_request_it_belongs_to(
    backend: BarkSpeech, by_itself: list[Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the batcher: those beside are said again, alone or fewer at a time, and sound the same."""
    model, company = backend._ready()
    read = company._read
    batches: list[int] = []

    def reading(sentence: Any) -> torch.Tensor:
        assert all_here.wait(30)
        if TEXTS[1].startswith(sentence.portion.text):
            raise ValueError("a prompt of another model")
        return read(sentence)

    def too_many(network: Any, inputs: Any, more: Any) -> None:
        batches.append(len(more["inputs_embeds"]))
        if batches[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(company, "_read", reading)
    hook = model.model.semantic.register_forward_pre_hook(too_many, with_kwargs=True)
    company_of_many: Any = together(backend, untold)
    results: dict[int, Any] = {}
    all_here = entered(company_of_many._batcher, 6, monkeypatch)

    def ask(number: int) -> None:
        utterance = Utterance(TEXTS[number], VOICES[number % 5 % 3], 1.0, None, None, seed=11 + number)
        try:
            results[number] = next(company_of_many.speak(utterance, threading.Event())).samples
        except ValueError as error:
            results[number] = error

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hook.remove()
    assert max(batches) > 2
    assert isinstance(results[1], ValueError)
    for number in (0, 2, 3, 4, 5):
        assert_same(by_itself[number], results[number])


def test_without_a_seed_it_sounds_different_each_time(backend: BarkSpeech) -> None:
    pieces = [replace(piece, content=replace(piece.content, seed=None)) for piece in asked(backend, 2)[1:]]
    one, other = said(backend, pieces)[0], said(backend, pieces)[0]
    assert one.shape != other.shape or np.abs(one - other).max() > WITHIN


def test_a_sentence_of_which_the_model_says_nothing_is_its_pause(tiny_bark: Path) -> None:
    settings = VocalizrSettings(vocalizr_model="bark", vocalizr_weights=str(tiny_bark), vocalizr_threads=1)
    backend = BarkSpeech(settings)
    backend.load()
    model, _ = backend._ready()
    model.model.semantic.lm_head.register_forward_hook(lambda _, __, scores: scores + end_sooner(scores, by=100.0))
    (sound,) = said(backend, asked(backend, 1)).values()
    assert sound.size > 0
    assert not sound.any()
