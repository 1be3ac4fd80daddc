"""What was said before: roles that alternate, the place where a long history is cut, and lore between the turns."""

import zlib
from collections.abc import Iterable, Sequence
from typing import Final

from chattr.domain.lorebook.activation import Active
from chattr.domain.prompt.parts import Budget, Message, Turn

# Stands before a greeting, which answers nothing, since a template may insist that a user speaks first.
OPENING: Final = "Hello!"
# The part of the context that is kept free for the new message and what is remembered, so that the room for the
# history, and with it the place where it is cut, does not change from turn to turn.
RESERVED: Final = 0.25
ASIDE: Final = "[{text}]"


def merged(history: Sequence[Turn]) -> list[Turn]:
    """Make roles alternate, a user first. Raw turns stay as they are, and where."""
    turns = joined(history)
    if turns and turns[0].role == "assistant":
        turns.insert(0, Turn("user", OPENING))
    return turns


def joined(history: Sequence[Turn]) -> list[Turn]:
    """Make one turn of neighbours of one role, without empty ones. Raw turns stay."""
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


def answered_of(history: Sequence[Turn], waiting: int) -> Sequence[Turn]:
    """Return a history without what the user said last, where that waits for its answer."""
    last = len(history)
    while waiting and last and (history[last - 1].role == "user" or not history[last - 1].content.strip()):
        last -= 1
    return history[:last]


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


def woven(turns: Sequence[Turn], lore: Iterable[Active]) -> tuple[list[Turn], list[str]]:
    """Put lore between turns, so many messages before the newest, which comes after these; see `Active.depth`.

    Returns the turns, and the texts that stand right before the newest message, which belong into it: roles go on
    alternating. What is told joins the turn beside it, as words of the user's in brackets, or as the character's own.
    Nothing comes between a call and its result.
    """
    told: dict[int, list[Turn]] = {}
    ahead: list[str] = []
    for one in lore:
        place = unparted(turns, max(0, len(turns) + 1 - one.depth))
        if one.role == "assistant" and place > 0:
            told.setdefault(place, []).append(Turn("assistant", one.content))
        elif place == len(turns):
            ahead.append(aside(one))
        else:
            told.setdefault(place, []).append(Turn("user", aside(one)))
    if not told:
        return list(turns), ahead
    mixed = [turn for place in range(len(turns) + 1) for turn in (*told.get(place, ()), *turns[place : place + 1])]
    return joined(mixed), ahead


def aside(one: Active) -> str:
    """Write lore among what a user says."""
    return one.content if one.role == "user" else ASIDE.format(text=one.content)


def unparted(turns: Sequence[Turn], place: int) -> int:
    """Return the nearest earlier place that parts no raw turns."""
    while 0 < place < len(turns) and (turns[place].raw or turns[place - 1].raw):
        place -= 1
    return place
