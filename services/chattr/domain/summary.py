"""The running summary of a conversation: what no longer stands in a prompt word by word, in a few sentences. Pure.

A path is cut into blocks from its beginning, so that the blocks of every branch follow from its messages alone. Each
block is summed up together with the summary before it. A summary stands on the messages that it was made of: where one
of them is gone or was forgotten, so are it and all that were made of it, and the one before them is what is left.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import uuid5

from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Source, remembered_as
from chattr.domain.memory import NAMESPACE, Forgotten

SCHEMA_VERSION: Final = 1
# Of the window: how much is summed up at once, and how much has to stand behind it before that is done. The summary is
# there before the window is full, and half of the window stays word by word when it takes its place in the prompt.
BLOCK: Final = 0.5
AHEAD: Final = 0.25
# A block goes on to where somebody has answered, for at most so much of the window.
LONGEST_BLOCK: Final = 0.65
# Of the context: the most that a summary may take.
SHARE: Final = 0.1
FEWEST_TOKENS: Final = 64
MOST_TOKENS: Final = 400
WORDS_PER_TOKEN: Final = 0.6
LONGEST_LINE: Final = 2_000
LONGEST_TEXT: Final = 4_000
# Around each message a prompt writes its role and its borders.
BORDERS: Final = 6

TASK: Final = """\
You keep the running summary of a conversation between {person} and {name}. Write a new summary of all of it: what the
SUMMARY SO FAR says, as far as it still matters, and what was SAID SINCE.
Keep who is who, names, numbers, places, what was decided, promised, asked and left open, and how they stand to each
other. Say who said what. Invent nothing, judge nothing, give no advice, and do not go on with the conversation.
Write plain sentences in the third person and in the language of the conversation, {words} words at most, and nothing
but the summary."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a character and a person said up to a message, in short. Times are Unix times in seconds."""

    id: str
    conversation_id: str
    character_id: str
    """Who heard it."""
    through_id: str
    """The last message that it sums up; all that came before it on its branch is summed up too."""
    through_at: float
    """When that was said."""
    text: str
    """Empty where nothing of it may be remembered."""
    sources: tuple[Source, ...]
    """The messages that were added to the summary before; what was forgotten is not among them."""
    created_at: float
    previous_id: str | None = None
    """The summary that it was made of."""
    corrected: bool = False
    """Whether a person wrote it anew."""

    def record(self) -> dict[str, Any]:
        """Write it as it is stored."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Summary":
        """Read what `record` wrote."""
        known = {name: record[name] for name in cls.__slots__ if name in record}
        return cls(**{**known, "sources": tuple(Source(**source) for source in record["sources"])})


def summary_id(character_id: str, through_id: str) -> str:
    """Name the summary of what one character heard up to a message: there is one."""
    return str(uuid5(NAMESPACE, f"summary/{character_id}/{through_id}"))


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a conversation stands in a prompt word by word."""

    tokens: int
    messages: int
    summary: int
    """Most tokens of a summary."""
    count: Callable[[str], int]

    def reached(self, path: Sequence[Message], start: int, share: float) -> int | None:
        """Return where the messages from `start` on are so much of the window; None where they are less."""
        tokens = 0
        for end in range(start, len(path)):
            tokens += self.count(path[end].content) + BORDERS
            if tokens >= share * self.tokens or end + 1 - start >= share * self.messages:
                return end + 1
        return None

    def nearly_full(self, messages: Sequence[Message]) -> bool:
        """Whether something may have to be summed up."""
        return self.reached(messages, 0, BLOCK + AHEAD) is not None


def summary_tokens(context_tokens: int) -> int:
    """Return how many tokens a summary may take of a context."""
    return max(FEWEST_TOKENS, min(MOST_TOKENS, int(context_tokens * SHARE)))


def block_end(path: Sequence[Message], start: int, window: Window) -> int | None:
    """Return where the block ends that begins at `start`; None where it is not time to sum it up.

    It ends with something that a character says, if it can: where depends on nothing that comes after it.
    """
    first = window.reached(path, start, BLOCK)
    if first is None:
        return None
    last = max(first, window.reached(path, start, LONGEST_BLOCK) or len(path))
    answered = (end for end in range(first, last) if path[end - 1].role != "user")
    end = next(answered, last)
    return end if window.reached(path, end, AHEAD) is not None else None


def standing(owner: Owner, summaries: Iterable[Summary], forgotten: Forgotten) -> dict[str, Summary]:
    """Return the summaries of which nothing was forgotten and that were made of such, by id."""
    sound = sorted(
        (one for one in summaries if not touches(owner, one, forgotten)), key=lambda one: (one.through_at, one.id)
    )
    return {one.id: one for one in in_order(sound)}


def in_order(summaries: Iterable[Summary], ids: Iterable[str | None] = (None,)) -> Iterator[Summary]:
    """Yield summaries that were made of some, or of none, and all that were made of these, each after that one."""
    after: dict[str | None, list[Summary]] = {}
    for one in summaries:
        after.setdefault(one.previous_id, []).append(one)
    waiting = deque(each for before in ids for each in after.pop(before, ()))
    while waiting:
        yield (one := waiting.popleft())
        waiting.extend(after.pop(one.id, ()))


def touches(owner: Owner, summary: Summary, forgotten: Forgotten) -> bool:
    """Whether something that was forgotten is among the messages that a summary added."""
    return forgotten.anything and any(
        forgotten.covers(memory)
        for source in summary.sources
        for memory in remembered_as(owner, summary.character_id, source)
    )


def made_of(ids: Iterable[str], summaries: Iterable[Summary]) -> list[str]:
    """Return summaries with all that were made of them, by id."""
    gone = list(dict.fromkeys(ids))
    return list(dict.fromkeys([*gone, *(one.id for one in in_order(summaries, gone))]))


def carried(
    summaries: Iterable[Summary], conversation_id: str, names: Mapping[str, str], characters: Mapping[str, str]
) -> list[Summary]:
    """Return summaries as they are of copies of the messages, each after the one that it was made of.

    `names`: what the messages are called there; a summary of one that is not among them is left out, as are those made
    of it. `characters`: those that have other ids there.
    """
    known = (
        one
        for one in summaries
        if one.through_id in names and all(source.message_id in names for source in one.sources)
    )
    made: dict[str, Summary] = {}
    for one in in_order(known):
        made[one.id] = copied(one, conversation_id, names, characters, made)
    return list(made.values())


def copied(
    one: Summary,
    conversation_id: str,
    names: Mapping[str, str],
    characters: Mapping[str, str],
    made: Mapping[str, Summary],
) -> Summary:
    """Return a summary as it is of copies of its messages."""
    character_id = characters.get(one.character_id, one.character_id)
    through = names[one.through_id]
    sources = (Source(conversation_id, names[source.message_id], source.said_at) for source in one.sources)
    return replace(
        one,
        id=summary_id(character_id, through),
        conversation_id=conversation_id,
        character_id=character_id,
        through_id=through,
        sources=tuple(sources),
        previous_id=made[one.previous_id].id if one.previous_id is not None else None,
    )


def along(summaries: Iterable[Summary], character_id: str, path: Sequence[Message]) -> list[tuple[int, Summary]]:
    """Return what one character has of a whole path, each with how many messages it sums up, the shortest first."""
    places = {message.id: index + 1 for index, message in enumerate(path)}
    own = [one for one in summaries if one.character_id == character_id and one.through_id in places]
    return sorted(((places[one.through_id], one) for one in own), key=lambda found: found[0])


def asked(name: str, person: str, before: str, lines: Sequence[str], window: Window) -> list[dict[str, Any]]:
    """Write what a model is asked. `lines`: what was said since, with who said it."""
    said = "\n".join(" ".join(line.split())[:LONGEST_LINE] for line in lines)
    words = int(window.summary * WORDS_PER_TOKEN)
    return [
        {"role": "system", "content": TASK.format(name=name, person=person, words=words)},
        {"role": "user", "content": f"SUMMARY SO FAR:\n{before or '(nothing)'}\n\nSAID SINCE:\n{said}\n\nNEW SUMMARY:"},
    ]


def read(answer: str, window: Window) -> str:
    """Read what a model answered: one paragraph, no longer than a summary may be; one that was cut off ends with its
    last whole sentence.
    """
    text = " ".join(answer.split()).removeprefix("NEW SUMMARY:").strip()[:LONGEST_TEXT]
    while text and (tokens := window.count(text)) > window.summary:
        text = text[: min(len(text) - 1, len(text) * window.summary // tokens)].rpartition(" ")[0]
    if text and text[-1] not in '.!?…"”»)。！？':
        ends = [text.rfind(mark) for mark in (". ", "! ", "? ", "。", "！", "？")]
        text = text[: max(ends) + 1] if max(ends) > len(text) // 2 else text
    return text
