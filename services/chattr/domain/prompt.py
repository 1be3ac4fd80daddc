"""What a model is given, as a pure function with a token budget.

The order is the cache's: a **stable prefix** (persona, examples), the same bytes in every conversation; then the
history, which only grows; then what changes each time (what is remembered, instructions to repeat, the new message).
One system message, at the start, and roles that alternate: every provider's chat template takes that.
"""

import functools
import json
import math
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from chatacter.chassis.errors import TooLarge
from chattr.domain.character import Character

Role = Literal["user", "assistant", "tool"]
Message = dict[str, Any]
Counter = Callable[[str], int]

# Around each message a chat template writes its role and its borders; five tokens in Qwen's, more in others.
MESSAGE_TOKENS: Final = 6
# What a part that is no text counts for: OpenAI's price of its largest picture, 85 and 170 for each of six tiles, or
# of one in low detail. What other providers count, and for sounds and files, is known to them alone.
PICTURE_TOKENS: Final = 1105
SMALL_PICTURE_TOKENS: Final = 85
# The part of the context that is kept free for the new message and what is remembered, so that the room for the
# history, and with it the place where it is cut, does not change from turn to turn.
RESERVED: Final = 0.25

# Parameters that only a character who has an opinion sends; the provider has its own.
OPTIONAL_SAMPLING: Final = ("top_p", "frequency_penalty", "presence_penalty", "seed")

ROLE_PLAY: Final = "This is a role-play. You play {name}. Stay in character and answer in the first person."
DISCLOSURE: Final = "If somebody sincerely asks whether you are human, say that you are an AI playing {name}."
# A very small model follows what it sees said, not what it is told: asked what it is, it is shown the honest answer.
BEING: Final = r"(?:human|real|person|ai|a\.i\.|bot|chatbot|robot|machine|computer|program)\b"
ASKED_WHAT_IT_IS: Final = re.compile(
    rf"\b(?:are|r) (?:you|u)\b[^.?!]{{0,40}}\b{BEING}"
    rf"|\b(?:talk|speak|chat|writ)ing (?:to|with) an? (?:real |living )?{BEING}",
    re.IGNORECASE,
)
HONEST_QUESTION: Final = "Are you a human or an AI?"
HONEST_ANSWER: Final = "I am an AI that plays {name}, not a human being."
REMEMBERED: Final = "[What {name} remembers of earlier talks:\n{items}]"
# Stands before a greeting, which answers nothing, since a template may insist that a user speaks first.
OPENING: Final = "Hello!"
TOO_LONG: Final = (
    "The message is too long for this model: the character and the message need {needed} tokens of {limit}."
)


def estimated_tokens(text: str) -> int:
    """Estimate tokens where the tokenizer is unknown; rather too many: 3.5 ASCII letters each, others singly."""
    narrow = sum(character.isascii() for character in text)
    astral = sum(character > "\uffff" for character in text)
    return math.ceil(narrow / 3.5) + (len(text) - narrow) + 2 * astral


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said, called or shown."""

    role: Role
    content: str
    """Its words; empty where it has none."""
    speaker: str | None = None
    """Whose words these are, where several talk: the name stands before them. None: the role says it."""
    raw: Mapping[str, Any] | None = None
    """The OpenAI message, where it is more than text (tool calls and their results, pictures): sent as it stands,
    beside its neighbours and never merged with them."""

    @property
    def text(self) -> str:
        """The words, after the speaker's name where there is one."""
        return f"{self.speaker}: {self.content}" if self.speaker else self.content


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model can take: a property of the model, set once."""

    context_tokens: int = 8192
    """Persona, history, memories and the new message together."""
    max_tokens: int = 512
    """Most tokens of an answer."""
    temperature: float = 0.7
    """Where the character has none of its own."""
    disclosure: bool = True
    """How the honest answer to "are you human?" is asked for: told in the persona, or, for a very small model, which
    would make it its topic, shown right before such a question."""
    count: Counter = estimated_tokens
    """Tokens of a text."""

    def of(self, messages: Iterable[Mapping[str, Any]]) -> int:
        """Count whole messages: their text, what else they say as JSON, and their pictures by a fixed estimate."""
        return sum(message_tokens(message, self.count) + MESSAGE_TOKENS for message in messages)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the prompt: what it costs, and what of it was left out."""

    name: Literal["system", "examples", "history", "memories", "message"]
    tokens: int
    kept: int
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent. `prefix` leading messages are the same bytes in every conversation with this character."""

    messages: list[Message]
    sampling: dict[str, Any]
    prefix: int
    parts: tuple[Part, ...] = field(default=())

    @property
    def tokens(self) -> int:
        """The whole prompt's tokens."""
        return sum(part.tokens for part in self.parts)


def assemble(
    character: Character,
    history: Sequence[Turn],
    text: str,
    *,
    raw: Mapping[str, Any] | None = None,
    since: Sequence[Turn] = (),
    recalled: Sequence[str] = (),
    instructions: str | None = None,
    budget: Budget,
) -> Prompt:
    """Put a prompt together within the budget. What was said last stays; examples go first, then old history.

    `raw`: the new message as it stands, where it is more than `text`. `since`: what the answer has done already, after
    the new message: tools called, their results, words that it is to begin with; it stays whole. `recalled`: what is
    remembered, a line each; earlier ones matter more. `instructions`: a client's own, added to the persona. Raises
    `TooLarge` when persona, new message and what came since are more than the model takes.
    """
    told = merged(history)
    text = text if raw else unanswered(told, text, budget)
    system: list[Message] = [{"role": "system", "content": persona(character, budget, instructions)}]
    honest = honest_turns(character, text, budget)
    done = as_messages(since)
    new = functools.partial(asked, character, text, raw=raw)
    bare = budget.of([*honest, new(()), *done])
    fixed = budget.of(system) + bare
    if fixed > budget.context_tokens:
        raise TooLarge(TOO_LONG.format(needed=fixed, limit=budget.context_tokens), param="messages")
    shown = fitting_examples(character, budget, budget.context_tokens - fixed)
    examples = as_messages(shown)
    room = budget.context_tokens - budget.of(system) - budget.of(examples)
    reserved = max(int(budget.context_tokens * RESERVED), bare)
    kept = told[cut(told, budget, max(0, room - reserved)) :]
    past = as_messages(kept)
    spare = min(reserved, room - budget.of(past)) - budget.of(honest)
    memories = fitting_memories(new, recalled, budget, spare - budget.of(done))
    last = [*honest, new(memories), *done]
    return Prompt(
        messages=[*system, *examples, *past, *last],
        sampling=sampling(character, budget),
        prefix=0 if instructions else len(system) + len(examples),
        parts=(
            Part("system", budget.of(system), 1),
            Part("examples", budget.of(examples), len(shown) // 2, len(character.examples) - len(shown) // 2),
            Part("history", budget.of(past), len(kept), len(told) - len(kept)),
            Part("memories", budget.of(last) - bare, len(memories), len(recalled) - len(memories)),
            Part("message", bare, 1),
        ),
    )


def stable_prefix(character: Character, budget: Budget) -> list[Message]:
    """Return the messages with which every prompt of this character begins, to be read by the model beforehand."""
    prompt = assemble(character, (), "", budget=budget)
    return prompt.messages[: prompt.prefix]


def persona(character: Character, budget: Budget, instructions: str | None) -> str:
    """Write the system message."""
    parts = [
        character.system_prompt or ROLE_PLAY.format(name=character.name),
        character.personality,
        character.scenario,
        DISCLOSURE.format(name=character.name) if budget.disclosure else "",
        instructions or "",
    ]
    return "\n".join(part.strip() for part in parts if part.strip())


def asked(character: Character, text: str, memories: Sequence[str], raw: Mapping[str, Any] | None = None) -> Message:
    """Write the new message: what is remembered, instructions to repeat, and what was said or, in `raw`, shown."""
    remembered = REMEMBERED.format(name=character.name, items="\n".join(memories)) if memories else ""
    before = [part for part in (remembered, character.post_history_instructions) if part]
    if raw is None:
        return {"role": "user", "content": "\n".join([*before, text] if text else before)}
    lead = [{"type": "text", "text": "\n".join(before)}] if before else []
    return {**raw, "content": [*lead, *content_parts(raw)]}


def honest_turns(character: Character, text: str, budget: Budget) -> list[Message]:
    """Return an exchange that shows the honest answer, where it is asked for and not already told."""
    if budget.disclosure or not ASKED_WHAT_IT_IS.search(text):
        return []
    answer = HONEST_ANSWER.format(name=character.name)
    return as_messages([Turn("user", HONEST_QUESTION), Turn("assistant", answer)])


def sampling(character: Character, budget: Budget) -> dict[str, Any]:
    """Return the sampling parameters: the character's where it has some, within what the model allows."""
    most = min(character.max_tokens or budget.max_tokens, budget.max_tokens)
    temperature = budget.temperature if character.temperature is None else character.temperature
    asked = {name: getattr(character, name) for name in OPTIONAL_SAMPLING}
    told = {name: value for name, value in asked.items() if value is not None}
    stop = {"stop": list(character.stop)} if character.stop else {}
    return {"temperature": temperature, "max_tokens": most, **told, **stop}


def fitting_examples(character: Character, budget: Budget, room: int) -> list[Turn]:
    """Return the first examples that fit. All or the first few: the prefix stays the same for messages of any length
    that leave room for them.
    """
    shown: list[Turn] = []
    for example in character.examples:
        pair = [Turn("user", example.user), Turn("assistant", example.assistant)]
        room -= budget.of(as_messages(pair))
        if room < 0:
            break
        shown += pair
    return shown


def fitting_memories(
    asked_with: Callable[[Sequence[str]], Message], recalled: Sequence[str], budget: Budget, room: int
) -> tuple[str, ...]:
    """Return the memories that fit beside the new message, which `asked_with` writes."""
    kept: tuple[str, ...] = ()
    for memory in recalled:
        flat = " ".join(memory.split())
        if flat and budget.of([asked_with((*kept, flat))]) <= room:
            kept = (*kept, flat)
    return kept


def merged(history: Sequence[Turn]) -> list[Turn]:
    """Make roles alternate, a user first: neighbours of one role become one turn, empty ones vanish. Raw ones stay."""
    turns: list[Turn] = []
    for turn in history:
        if turn.raw is not None:
            turns.append(turn)
        elif not turn.content.strip():
            continue
        elif turns and turns[-1].role == turn.role and turns[-1].raw is None:
            turns[-1] = Turn(turn.role, f"{turns[-1].content}\n{turn.text}")
        else:
            turns.append(Turn(turn.role, turn.text))
    if turns and turns[0].role == "assistant":
        turns.insert(0, Turn("user", OPENING))
    return turns


def unanswered(turns: list[Turn], text: str, budget: Budget) -> str:
    """Take a last turn of the user's, which never got its answer, off the history; put it before the new message.

    One that is said again, or that is longer than what is reserved, is dropped.
    """
    if not turns or turns[-1].role != "user" or turns[-1].raw is not None:
        return text
    waiting = turns.pop().content
    whole = f"{waiting}\n{text}"
    return text if waiting == text or budget.count(whole) > budget.context_tokens * RESERVED else whole


def cut(turns: Sequence[Turn], budget: Budget, room: int) -> int:
    """Return where the kept history begins: at a user's turn, with at most `room` tokens behind it, and so that no
    tool's result is kept without the call that it answers.

    A history that slid by a turn each time would be read anew each time. So a long one is cut in blocks: among the
    places that leave between half of the room and all of it, the one whose text has the highest checksum. That place
    is found again in the following turns, until it no longer fits; and found whatever the caller has left out of the
    beginning.
    """
    left, places = 0, {}
    uncalled: set[str] = set()
    for index in range(len(turns) - 1, -1, -1):
        left += budget.of(as_messages(turns[index : index + 1]))
        if left > room:
            break
        uncalled |= results(turns[index])
        uncalled -= calls(turns[index])
        if turns[index].role == "user" and not uncalled:
            places[index] = left
    if 0 in places or not turns:
        return 0
    late = [index for index, behind in places.items() if behind * 2 >= room]
    if late:
        return max(late, key=lambda index: (zlib.crc32(turns[index].content.encode()), -index))
    return min(places, default=len(turns))


def as_messages(turns: Iterable[Turn]) -> list[Message]:
    """Write turns as OpenAI messages."""
    return [{"role": turn.role, "content": turn.content} if turn.raw is None else dict(turn.raw) for turn in turns]


def calls(turn: Turn) -> set[str]:
    """Return the ids of the tool calls that a turn makes."""
    made = (turn.raw or {}).get("tool_calls") or ()
    return {str(call.get("id")) for call in made}


def results(turn: Turn) -> set[str]:
    """Return the id of the tool call that a turn answers, if it answers one."""
    return {str(turn.raw.get("tool_call_id"))} if turn.raw and turn.role == "tool" else set()


def content_parts(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return a message's content as parts."""
    content = message.get("content") or ()
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(message: Mapping[str, Any]) -> str:
    """Return what a message says in words, its parts joined by line breaks."""
    return "\n".join(part["text"] for part in content_parts(message) if part.get("text"))


def message_tokens(message: Mapping[str, Any], count: Counter) -> int:
    """Count a message without its borders."""
    content = message.get("content")
    told = count(content) if isinstance(content, str) else sum(part_tokens(part, count) for part in content or ())
    more = {name: value for name, value in message.items() if value and name not in {"role", "content"}}
    return told + (count(json.dumps(more, ensure_ascii=False)) if more else 0)


def part_tokens(part: Mapping[str, Any], count: Counter) -> int:
    """Count a part of a message's content."""
    if isinstance(part.get("text"), str):
        return count(part["text"])
    picture = part.get("image_url")
    small = isinstance(picture, Mapping) and picture.get("detail") == "low"
    return SMALL_PICTURE_TOKENS if small else PICTURE_TOKENS
