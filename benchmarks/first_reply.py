"""How soon a character answers, speaks and appears on the embedded profile, and what that takes of the machine.

It starts `chatacter up` as a user does, with the models that are installed, and is a client of the public API: what
it measures is what `chatacter chat --say` hears. Needs `chatacter models install --profile embedded`.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from measuring import results
from measuring.profile import Memory, Profile, embedded, installed_models, size

from chatacter.client.api import Api
from chatacter.client.sentences import Sentences
from chatacter.models.lock import Lock

QUESTIONS: Final = (
    "Good evening! Who are you?",
    "What did you do today?",
    "What do you like best about it?",
    "Is there something that you are afraid of?",
    "What would you show me first, if I came to visit?",
    "And what would you like to ask me?",
)
SENTENCE: Final = "It is a pleasure to meet you, and I would like to show you what I have been working on all day."
PCM_RATE: Final = 24_000
SAMPLE_BYTES: Final = 2


@dataclass(slots=True)
class Answer:
    """When a reply was seen and heard, in seconds from its question."""

    first_text: float = 0.0
    last_text: float = 0.0
    first_sound: float = 0.0
    characters: int = 0
    session: str | None = None


@dataclass(slots=True)
class Readings:
    """Everything that was measured."""

    started: float = 0.0
    started_lazily: float = 0.0
    cold_lazy: Answer = field(default_factory=Answer)
    cold: Answer = field(default_factory=Answer)
    warm: list[Answer] = field(default_factory=list)
    switched: list[Answer] = field(default_factory=list)
    spoken: list[tuple[float, float, float]] = field(default_factory=list)
    """First sound, whole sound, and how long the sound is."""
    filmed: list[tuple[float, float]] = field(default_factory=list)
    """Until the film was there, and how long it is."""
    memory: list[Memory] = field(default_factory=list)


async def answered(api: Api, character: str, question: str, session: str | None, *, aloud: bool) -> Answer:
    """Ask, read the reply as it comes, and hear its first piece as soon as it can be spoken."""
    began, answer, sentences = time.perf_counter(), Answer(session=session), Sentences()
    speaking: asyncio.Task[float] | None = None
    async with aclosing(api.say(question, character, session)) as events:
        async for event in events:
            answer.session = event.data.get("conversation_id") or answer.session
            if not event.text:
                continue
            answer.last_text = time.perf_counter() - began
            answer.first_text = answer.first_text or answer.last_text
            answer.characters += len(event.text)
            pieces = sentences.feed(event.text)
            if aloud and pieces and speaking is None:
                speaking = asyncio.create_task(first_sound(api, character, pieces[0]))
    rest = sentences.finish()
    if aloud and speaking is None and rest:
        speaking = asyncio.create_task(first_sound(api, character, rest[0]))
    if speaking is not None:
        answer.first_sound = await speaking - began
    return answer


async def first_sound(api: Api, character: str, text: str) -> float:
    """Speak; return the moment at which the first bytes of sound came. The rest is heard out, as a player does."""
    at = 0.0
    async with aclosing(api.speak(text, voice=character, model="kokoro", audio_format="pcm")) as chunks:
        async for _ in chunks:
            at = at or time.perf_counter()
    return at


async def spoken(api: Api, character: str) -> tuple[float, float, float]:
    """Speak a sentence with nothing else going on."""
    began, first, length = time.perf_counter(), 0.0, 0
    async with aclosing(api.speak(SENTENCE, voice=character, model="kokoro", audio_format="pcm")) as chunks:
        async for chunk in chunks:
            first = first or time.perf_counter() - began
            length += len(chunk)
    return first, time.perf_counter() - began, length / SAMPLE_BYTES / PCM_RATE


async def filmed(api: Api, character: str) -> tuple[float, float]:
    """Film a sentence and wait until the film can be fetched."""
    began = time.perf_counter()
    video = await api.film(SENTENCE, character)
    async with aclosing(api.filmed(video, every=0.1)) as states:
        async for state in states:
            video = state
    if video.status != "completed":
        raise RuntimeError(f"the film ended {video.status}: {video.error}")
    return time.perf_counter() - began, float(video.seconds or 0)


async def measured(profile: Profile, readings: Readings, runs: int) -> None:
    """Take the readings of a profile that was started as it comes."""
    async with Api.connected(profile.url) as api:
        cast = [str(each["id"]) for each in await api.characters()]
        first = readings.cold = await answered(api, cast[0], QUESTIONS[0], None, aloud=True)
        session = first.session
        for turn in range(runs):
            question = QUESTIONS[1 + turn % (len(QUESTIONS) - 1)]
            readings.warm.append(await answered(api, cast[0], question, session, aloud=True))
        for turn in range(runs):
            character = cast[1 + turn % (len(cast) - 1)]
            readings.switched.append(await answered(api, character, QUESTIONS[0], None, aloud=True))
        readings.spoken = [await spoken(api, cast[0]) for _ in range(runs)]
        readings.filmed = [await filmed(api, cast[0]) for _ in range(max(2, runs // 2))]
    readings.memory = profile.memory()


async def measured_lazily(profile: Profile, readings: Readings) -> None:
    """Take the one reading for which nothing may have been loaded before."""
    async with Api.connected(profile.url) as api:
        cast = [str(each["id"]) for each in await api.characters()]
        readings.cold_lazy = await answered(api, cast[0], QUESTIONS[0], None, aloud=True)


def latency(readings: Readings) -> str:
    """Write how soon things come."""
    aims = {"warm text": "≤ 1.5 s", "warm sound": "≤ 3 s"}
    rows: list[tuple[str, list[float], str]] = [
        ("start until everything is ready, models installed", [readings.started], ""),
        ("the same with `PRELOAD_MODELS=false`", [readings.started_lazily], ""),
        ("first text, first reply after the start (cold)", [readings.cold.first_text], ""),
        ("first text, cold, with `PRELOAD_MODELS=false`", [readings.cold_lazy.first_text], ""),
        ("first text, next turns of a conversation (warm)", [a.first_text for a in readings.warm], aims["warm text"]),
        ("first text, first turn with another character", [a.first_text for a in readings.switched], ""),
        ("whole reply, warm", [a.last_text for a in readings.warm], ""),
        ("first sound of the reply, cold", [readings.cold.first_sound], ""),
        ("first sound of the reply, warm", [a.first_sound for a in readings.warm], aims["warm sound"]),
        ("first sound of the reply, another character", [a.first_sound for a in readings.switched], ""),
        ("speech alone: first sound", [first for first, _, _ in readings.spoken], ""),
        ("speech alone: whole", [whole for _, whole, _ in readings.spoken], ""),
        ("film, from the order until it is there", [took for took, _ in readings.filmed], ""),
    ]
    lines = [(what, results.seconds(values), aim) for what, values, aim in rows]
    sound, film = readings.spoken[0][2], readings.filmed[0][1]
    length = sum(answer.characters for answer in readings.warm) / len(readings.warm)
    note = f"The sentence is {sound:.1f} s of sound, its film {film:.1f} s; a warm reply has {length:.0f} characters."
    return results.table(("what", "median (range)", "aim"), lines) + f"\n\n{note}"


def memory(readings: Readings) -> str:
    """Write what the processes take."""
    total = sum(each.now for each in readings.memory)
    lines = [(each.name, results.megabytes(each.now), results.megabytes(each.peak)) for each in readings.memory]
    lines.append(("together", results.megabytes(total), ""))
    return results.table(("process", "memory after the run (PSS)", "most it held (RSS)"), lines)


def disk() -> str:
    """Write what lies on the disk."""
    lock = Lock.read()
    models = sum(lock.model(name).bytes for name in lock.profile("embedded"))
    environment = size(Path(sys.prefix))
    lines = [("models of the profile `embedded`", results.megabytes(models))]
    lines.append(("this Python environment, as it is here", results.megabytes(environment)))
    return results.table(("disk", "size"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="readings of each kind")
    parser.add_argument("--note", default="", help="what a reader of the results should know of this run")
    given = parser.parse_args()
    if not installed_models().is_dir():
        sys.exit("Install the models first: chatacter models install --profile embedded")
    load, readings = results.busy(), Readings()
    run(readings, {}, lambda profile: measured(profile, readings, given.runs), "started")
    run(readings, {"PRELOAD_MODELS": "false"}, lambda profile: measured_lazily(profile, readings), "started_lazily")
    parts = [*([given.note] if given.note else []), latency(readings), memory(readings), disk()]
    results.write("First reply on the embedded profile", load, *parts)


def run(readings: Readings, settings: Mapping[str, str], take: Any, started: str) -> None:
    """Start the profile, take readings of it, stop it."""
    with embedded(settings) as profile:
        setattr(readings, started, profile.started)
        asyncio.run(take(profile))


if __name__ == "__main__":
    main()
