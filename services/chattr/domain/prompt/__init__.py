"""What a model is given, as a pure function with a token budget.

The order is the cache's: a **stable prefix** (persona with the lore that is always told, examples), the same bytes in
every conversation; then the history, before it in a long conversation its summary, which both only grow; then what
changes each time (lore that was spoken of, what is known and remembered, instructions to repeat, the new message). One
system message, at the start, and roles that alternate: every provider's chat template takes that.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chatacter.chassis.errors import TooLarge
from chattr.domain.character import Character
from chattr.domain.lorebook.activation import Active, Lore, Room, activated
from chattr.domain.lorebook.matching import Moment, Said
from chattr.domain.macros import varies
from chattr.domain.prompt.history import (
    OPENING,
    RESERVED,
    answered_of,
    as_messages,
    cut,
    joined,
    merged,
    unanswered,
    woven,
)
from chattr.domain.prompt.parts import (
    MESSAGE_TOKENS,
    PICTURE_TOKENS,
    SMALL_PICTURE_TOKENS,
    Budget,
    Digest,
    Message,
    Part,
    Prompt,
    Turn,
    estimated_tokens,
    lines_part,
    text_of,
)
from chattr.domain.prompt.setting import ANYWHERE, Setting, Voice
from chattr.domain.prompt.summed import ALL_AT_HAND, Past, Shown, shown
from chattr.domain.prompt.wording import asked, honest_turns, persona

__all__ = [
    "ALL_AT_HAND",
    "ANYWHERE",
    "MESSAGE_TOKENS",
    "OPENING",
    "PICTURE_TOKENS",
    "RESERVED",
    "SMALL_PICTURE_TOKENS",
    "Budget",
    "Digest",
    "Message",
    "Part",
    "Past",
    "Prompt",
    "Setting",
    "Turn",
    "Voice",
    "assemble",
    "cut",
    "estimated_tokens",
    "joined",
    "merged",
    "stable_prefix",
    "text_of",
]

# Parameters that only a character who has an opinion sends; the provider has its own.
OPTIONAL_SAMPLING: Final = ("top_p", "frequency_penalty", "presence_penalty", "seed")
# What lore costs beside its text: a line break and brackets each, what introduces it, a message of its own at most.
LORE_BORDERS: Final = 8
LORE_HEAD: Final = 40

TOO_LONG: Final = (
    "The message is too long for this model: the character and the message need {needed} tokens of {limit}."
)
NO_ROOM: Final = "example {number} did not fit"
NO_ROOM_FOR_MEMORY: Final = "memory {number} did not fit"
NO_ROOM_FOR_FACT: Final = "fact {number} did not fit"
OLDEST: Final = "the oldest {count} messages did not fit"
SUMMED_UP: Final = "the oldest {count} messages are summed up"


@dataclass(slots=True)
class Assembly:
    """A prompt while it is put together: what it is made from, and the parts that are decided."""

    voice: Voice
    budget: Budget
    told: list[Turn]
    text: str
    raw: Mapping[str, Any] | None
    done: list[Message]
    instructions: str | None
    lore: Lore = field(default_factory=Lore)
    ahead: list[str] = field(default_factory=list)
    """Lore of the history that came to stand in the new message."""

    @property
    def character(self) -> Character:
        """Who is to answer."""
        return self.voice.character

    @property
    def honest(self) -> list[Message]:
        """The exchange before the new message, where it is needed."""
        return honest_turns(self.character, self.text, self.budget)

    def system(self, lore: Sequence[Active]) -> list[Message]:
        """Write the system message with some lore."""
        return [{"role": "system", "content": persona(self.voice, self.budget, self.instructions, lore)}]

    def new(self, memories: Sequence[str] = (), facts: Sequence[str] = (), *, lore: bool = True) -> Message:
        """Write the new message."""
        if not lore:
            return asked(self.voice, self.text, memories, facts, raw=self.raw)
        known, ahead, behind = self.beside, self.ahead, self.behind
        return asked(self.voice, self.text, memories, facts, raw=self.raw, known=known, ahead=ahead, behind=behind)

    @property
    def settled(self) -> list[Active]:
        """Lore that is always told."""
        return [one for one in self.lore.active if one.settled]

    @property
    def in_system(self) -> list[Active]:
        """Lore of the system message."""
        return [one for one in self.lore.active if one.settled or (not self.budget.slow and one.position != "depth")]

    @property
    def beside(self) -> list[Active]:
        """Lore beside the memories: all that was spoken of, where reading is slow."""
        return [one for one in self.lore.active if self.budget.slow and not one.settled]

    @property
    def between(self) -> list[Active]:
        """Lore in the history."""
        deep = [one for one in self.lore.active if one.position == "depth" and not self.budget.slow]
        return [one for one in deep if one.depth > 0]

    @property
    def behind(self) -> list[Active]:
        """Lore after the new message."""
        deep = [one for one in self.lore.active if one.position == "depth" and not self.budget.slow]
        return [one for one in deep if one.depth == 0]

    def look(self, history: Sequence[Turn]) -> Lore:
        """Find out what the lorebooks tell, within what persona and new message leave."""
        if not self.voice.shelves:
            return Lore()
        budget = self.budget
        needed = budget.of([*self.system(()), *self.honest, self.new(), *self.done])
        said = [Said("user" if turn.role == "user" else "assistant", turn.text) for turn in history if turn.text]
        moment = Moment(
            said=[*said, Said("user", self.text)],
            names=self.voice.names,
            greeting=self._greeting(said),
            full=needed + budget.of(as_messages(self.told)) > budget.context_tokens,
        )
        left = max(0, budget.context_tokens - needed - LORE_HEAD)
        room = Room(
            settled=budget.settled_lore,
            called=budget.called_lore,
            together=left,
            count=lambda text: budget.count(text) + LORE_BORDERS,
        )
        return activated(self.voice.shelves, moment, room)

    def _greeting(self, said: Sequence[Said]) -> int | None:
        """Return which greeting began the conversation; None where none did."""
        first = next((one.text for one in said if one.role == "assistant"), None)
        found = zip(self.character.greetings, self.voice.greetings(), strict=True)
        return next((index for index, both in enumerate(found) if first in both), None)

    @property
    def outside(self) -> int:
        """What lore costs that is not in the system message."""
        own = self.budget.of([self.new()]) - self.budget.of([self.new(lore=False)])
        return own + sum(one.tokens for one in self.between)

    def prefix(self, system: list[Message], examples: list[Turn]) -> int:
        """Say how many leading messages are the same in every conversation with this character."""
        setting, character = self.voice.setting, self.character
        person = setting.person
        own = bool(self.instructions or person.name or person.description)
        pruned = not self.budget.slow and len(examples) < 2 * len(character.examples)
        if own or pruned or any(not one.settled for one in self.in_system):
            return 0
        texts = (character.system_prompt, character.personality, character.scenario, *self.written_examples())
        if setting.conversation and (any(map(varies, texts)) or not all(one.alike for one in self.settled)):
            return 0
        return len(system) + len(examples)

    def least(self, system: list[Message]) -> int:
        """Return what new message and what came since cost. Raises `TooLarge` where they have no room beside it."""
        bare = self.budget.of([*self.honest, self.new(lore=False), *self.done])
        needed, limit = self.budget.of(system) + bare, self.budget.context_tokens
        if needed > limit:
            raise TooLarge(TOO_LONG.format(needed=needed, limit=limit), param="messages")
        return bare

    def said_before(self, history: Sequence[Turn], past: Past, room: int) -> tuple[Shown, list[Message]]:
        """Choose what is shown of a history, and write it with the lore that stands in it."""
        view = shown(history, past, self.budget, max(0, room))
        turns, self.ahead = woven(view.kept, self.between)
        if turns:
            return view, as_messages(joined([*view.digested, *turns]))
        self.ahead = [*(turn.content for turn in view.digested), *self.ahead]
        return view, []

    def reminded(
        self, facts: Sequence[str], recalled: Sequence[str], pinned: Collection[str], room: int
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return facts and memories that fit beside the new message: pinned ones first, in all of the room; other
        facts have a budget of their own.
        """
        budget = self.budget
        known = fitting_lines(lambda lines: self.new((), lines), those(facts, pinned), budget, room)
        said = fitting_lines(lambda lines: self.new(lines, known), those(recalled, pinned), budget, room)
        least = min(room, budget.of([self.new(said, known)]) + budget.facts)
        rest = those(facts, pinned, among=False)
        known = fitting_lines(lambda lines: self.new(said, lines), rest, budget, least, known)
        rest = those(recalled, pinned, among=False)
        return known, fitting_lines(lambda lines: self.new(lines, known), rest, budget, room, said)

    def written_examples(self) -> list[str]:
        """Return the examples' texts as they are written."""
        return [text for example in self.character.examples for text in (example.user, example.assistant)]


def assemble(  # noqa: PLR0913  # what a prompt is made of
    character: Character,
    history: Sequence[Turn],
    text: str,
    *,
    raw: Mapping[str, Any] | None = None,
    since: Sequence[Turn] = (),
    past: Past = ALL_AT_HAND,
    facts: Sequence[str] = (),
    recalled: Sequence[str] = (),
    pinned: Collection[str] = (),
    instructions: str | None = None,
    setting: Setting = ANYWHERE,
    lore: Lore | None = None,
    budget: Budget,
) -> Prompt:
    """Put a prompt together. What was said last stays; then go the last examples, where reading is not slow, and old
    history. Raises `TooLarge` when persona, new message and what came since are more than the model takes.

    `raw`: the new message as it stands, where it is more than `text`. `since`: what the answer has done already, after
    the new message: tools called, their results, words that it is to begin with; it stays whole. `past`: summaries of
    what was said. `facts`: what is known, `recalled`: what is remembered, a line each; earlier ones matter more, those
    that are `pinned` most. `instructions`: a client's own, added to the persona or, where the character allows it,
    instead of its system prompt. `lore`: what was found for this very moment; None: it is looked for.
    """
    voice = Voice(character, setting)
    whole = len(told := merged(history := spoken(history, voice)))
    text = text if raw else unanswered(told, text, budget)
    made = Assembly(voice, budget, told, text, raw, as_messages(joined(since)), instructions)
    made.lore = made.look(history) if lore is None else lore
    bare = made.least(system := made.system(made.in_system))
    reserved = max(int(budget.context_tokens * RESERVED), bare + made.outside)
    room = budget.context_tokens - budget.of(system)
    beside = bare if budget.slow else reserved + budget.of(as_messages(told))
    examples = as_messages(pairs := fitting_examples(voice, budget, room - beside))
    room -= budget.of(examples)
    view, before_it = made.said_before(answered_of(history, whole - len(told)), past, room - reserved)
    spare = min(reserved, room - budget.of(before_it)) - budget.of(made.honest) - budget.of(made.done)
    known, memories = made.reminded(facts, recalled, pinned, spare)
    messages = [*system, *examples, *before_it, *made.honest, made.new(memories, known), *made.done]
    return Prompt(
        messages=messages,
        sampling=sampling(character, budget),
        prefix=made.prefix(system, pairs),
        parts=parts_of(made, messages, Told(pairs, view, known, memories, facts, recalled)),
        lore=made.lore,
        memories=memories,
        facts=known,
        summary=view.digest if view.digested else None,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """What came to stand in a prompt, of what could have."""

    examples: Sequence[Turn]
    past: Shown
    facts: Sequence[str]
    memories: Sequence[str]
    known: Sequence[str]
    recalled: Sequence[str]


def parts_of(made: Assembly, messages: Sequence[Message], told: Told) -> tuple[Part, ...]:
    """Say what each part costs and what was left out. Lore costs what the others do not."""
    budget, lore, kept = made.budget, made.lore, told.past.kept
    examples, missing = len(told.examples) // 2, max(0, len(made.told) - len(kept))
    bare = budget.of([*made.honest, made.new(lore=False), *made.done])
    with_facts = budget.of([made.new((), told.facts)])
    costs = {
        "system": budget.of(made.system(())),
        "examples": budget.of(as_messages(told.examples)),
        "summary": budget.of(as_messages(told.past.digested)),
        "history": budget.of(as_messages(kept)),
        "facts": with_facts - budget.of([made.new()]),
        "memories": budget.of([made.new(told.memories, told.facts)]) - with_facts,
        "message": bare,
    }
    numbers = range(examples + 1, len(made.character.examples) + 1)
    oldest = (SUMMED_UP if told.past.digest and not told.past.missing else OLDEST).format(count=missing)
    return (
        Part("system", costs["system"], 1),
        Part("examples", costs["examples"], examples, len(numbers), tuple(NO_ROOM.format(number=n) for n in numbers)),
        Part(
            "lore",
            budget.of(messages) - sum(costs.values()),
            len(lore.active),
            len(lore.left),
            tuple(f"{one.entry}: {one.reason}" for one in lore.left),
        ),
        Part("summary", costs["summary"], len(told.past.digested)),
        Part("history", costs["history"], len(kept), missing, (oldest,) if missing else ()),
        lines_part("facts", costs["facts"], told.facts, told.known, NO_ROOM_FOR_FACT),
        lines_part("memories", costs["memories"], told.memories, told.recalled, NO_ROOM_FOR_MEMORY),
        Part("message", bare, 1),
    )


def stable_prefix(character: Character, budget: Budget) -> list[Message]:
    """Return the messages with which every prompt of this character begins, to be read by the model beforehand."""
    prompt = assemble(character, (), "", budget=budget)
    return prompt.messages[: prompt.prefix]


def spoken(history: Sequence[Turn], voice: Voice) -> list[Turn]:
    """Replace the macros of greetings, which stand in a history as the card wrote them. Source: V1, `first_mes`."""
    written = dict(zip(voice.character.greetings, voice.greetings(), strict=True))
    return [
        Turn(turn.role, written[turn.content], turn.speaker)
        if turn.role == "assistant" and turn.raw is None and turn.content in written
        else turn
        for turn in history
    ]


def sampling(character: Character, budget: Budget) -> dict[str, Any]:
    """Return the sampling parameters: the character's where it has some, within what the model allows."""
    most = min(character.max_tokens or budget.max_tokens, budget.max_tokens)
    temperature = budget.temperature if character.temperature is None else character.temperature
    asked = {name: getattr(character, name) for name in OPTIONAL_SAMPLING}
    told = {name: value for name, value in asked.items() if value is not None}
    stop = {"stop": list(character.stop)} if character.stop else {}
    return {"temperature": temperature, "max_tokens": most, **told, **stop}


def fitting_examples(voice: Voice, budget: Budget, room: int) -> list[Turn]:
    """Return the first examples that fit: the prefix stays the same for messages of any length that leave room."""
    shown: list[Turn] = []
    for number, example in enumerate(voice.character.examples):
        user, answer = (
            voice.still(example.user, f"example {number}"),
            voice.still(example.assistant, f"answer {number}"),
        )
        pair = [Turn("user", user), Turn("assistant", answer)]
        room -= budget.of(as_messages(pair))
        if room < 0:
            break
        shown += pair
    return shown


def fitting_lines(
    asked_with: Callable[[Sequence[str]], Message],
    offered: Sequence[str],
    budget: Budget,
    room: int,
    kept: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Return `kept` with the lines that fit beside the new message, which `asked_with` writes."""
    for one in offered:
        flat = " ".join(one.split())
        if flat and budget.of([asked_with((*kept, flat))]) <= room:
            kept = (*kept, flat)
    return kept


def those(lines: Sequence[str], some: Collection[str], *, among: bool = True) -> list[str]:
    """Return the lines that are among some, or those that are not."""
    return [one for one in lines if (one in some) is among]
