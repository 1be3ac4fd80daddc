"""The running summaries of conversations: which of them hold, and what a person does with them."""

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable
from chattr.domain.character import Character
from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.lorebook.activation import Lore
from chattr.domain.memory import Changed, Forgotten, Selection
from chattr.domain.prompt import RESERVED, Budget, assemble
from chattr.domain.summary import Summary, Window, carried, made_of, standing, summary_tokens, touches
from chattr.ports.outbox import Outbox
from chattr.ports.summaries import Summaries

logger = logging.getLogger(__name__)

NO_SUMMARY: Final = "There is no such summary in this conversation."
TOO_LONG: Final = "A summary may take {most} tokens at most."
CHANGED: Final = "This summary changed meanwhile; read it again."
# Lore and the person's description take of the window what nobody can tell beforehand.
CERTAIN: Final = 0.95
SMALLEST: Final = 64
NOBODY_RENAMED: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Windows:
    """How much of a conversation stands in a character's prompts: what the model takes, and `messages` at most."""

    budget: Budget
    messages: int

    def of(self, character: Character) -> Window:
        """Return the window of one character."""
        budget = self.budget
        prompt = assemble(character, (), "", lore=Lore(), budget=budget)
        settled = budget.of(prompt.messages[: prompt.prefix if budget.slow else 1])
        lore = budget.settled_lore if character.lorebook or character.lorebooks else 0
        most = summary_tokens(budget.context_tokens)
        left = int(budget.context_tokens * (1 - RESERVED)) - settled - lore - most
        return Window(max(SMALLEST, int(left * CERTAIN)), self.messages, most, budget.count)


class Summing:
    """Reads, corrects and takes back summaries. Every method raises `Unavailable`.

    `queue`: where it is put down which conversations may have something to sum up.
    """

    def __init__(self, summaries: Summaries, outbox: Outbox, queue: Outbox, windows: Windows) -> None:
        self._summaries = summaries
        self._outbox = outbox
        self._queue = queue
        self.windows = windows

    async def standing(self, owner: Owner, conversation_id: str) -> dict[str, Summary]:
        """Return the summaries of a conversation that hold, by id."""
        found = await self._summaries.of(owner, conversation_id)
        return standing(owner, found, await self.forgotten(owner)) if found else {}

    async def forgotten(self, owner: Owner) -> Forgotten:
        """Return what a person had forgotten."""
        return Forgotten(await self._outbox.forgotten(owner))

    async def keep(self, owner: Owner, made: Summary, before: Summary | None) -> bool:
        """Keep a summary that was made of the one before; False where it is of no use.

        What was forgotten or corrected is looked up after writing: whatever the order, it holds.
        """
        if not await self._put(owner, made):
            return False  # another replica was quicker, or what it sums up is gone: the next reply looks again
        known = await self.standing(owner, made.conversation_id)
        if made.id not in known or (before is not None and known.get(before.id) != before):
            await self.drop(owner, made.conversation_id, made.id)
        return True

    async def _put(self, owner: Owner, made: Summary) -> bool:
        """Keep a new one, also where one of its id is stored that does not hold: nothing else would take that back."""
        if await self._summaries.put(owner, made):
            return True
        found = await self._summaries.of(owner, made.conversation_id)
        there = any(one.id == made.id for one in found)
        if not there or made.id in standing(owner, found, await self.forgotten(owner)):
            return False
        await self._summaries.drop(owner, made.conversation_id, made_of([made.id], found))
        return await self._summaries.put(owner, made)

    async def look(self, owner: Owner, conversation_id: str, character: Character, path: Sequence[Message]) -> None:
        """Have a conversation summed up where its window may be getting full. Never raises: the next reply looks
        again, and a character that is too long for its model has no window.
        """
        with suppress(Unavailable, TooLarge):
            if self.windows.of(character).nearly_full(path):
                await self._queue.note(owner, [Changed(conversation_id)])

    async def correct(self, owner: Owner, conversation_id: str, summary_id: str, text: str) -> Summary:
        """Let a summary say something else; what was made of it is made anew. Raises `NotFound`, `InvalidInput`."""
        most = summary_tokens(self.windows.budget.context_tokens)
        if self.windows.budget.count(text) > most:
            raise InvalidInput(TOO_LONG.format(most=most), param="text")
        found = (await self.standing(owner, conversation_id)).get(summary_id)
        if found is None:
            raise NotFound(NO_SUMMARY, param="summary_id")
        corrected = replace(found, text=text, corrected=True)
        await self._drop_after(owner, found)
        if corrected != found and not await self._summaries.put(owner, corrected, instead_of=found):
            raise Conflict(CHANGED, param="summary_id")
        await self._drop_after(owner, found)  # what somebody made meanwhile was made of the old words
        return corrected

    async def _drop_after(self, owner: Owner, summary: Summary) -> None:
        """Take back all that were made of a summary, whatever it says."""
        every = await self._summaries.of(owner, summary.conversation_id)
        after = [each for each in made_of([summary.id], every) if each != summary.id]
        await self._summaries.drop(owner, summary.conversation_id, after)

    async def carry(
        self,
        owner: Owner,
        summaries: Iterable[Summary],
        conversation_id: str,
        names: Mapping[str, str],
        characters: Mapping[str, str] = NOBODY_RENAMED,
    ) -> int:
        """Keep summaries as those of copies of their messages, and count them; see `carried`. What was forgotten here
        comes with none.
        """
        made = carried(summaries, conversation_id, names, characters)
        kept = standing(owner, made, await self.forgotten(owner)) if made else {}
        return sum([await self._summaries.put(owner, one) for one in made if one.id in kept])

    async def touched(self, owner: Owner, what: Selection) -> list[str]:
        """Return the summaries that would be gone with what is forgotten."""
        return [each for gone in (await touched(self._summaries, owner, what)).values() for each in gone]

    async def drop(self, owner: Owner, conversation_id: str, summary_id: str | None = None) -> None:
        """Take a summary back with all that were made of it, or all. Raises `NotFound`."""
        found = await self._summaries.of(owner, conversation_id)
        named = [one.id for one in found if summary_id in {None, one.id}]
        if summary_id is not None and not named:
            raise NotFound(NO_SUMMARY, param="summary_id")
        await self._summaries.drop(owner, conversation_id, made_of(named, found))


async def follow(summaries: Summaries, owner: Owner, conversation_id: str, there: Set[str]) -> None:
    """Take back the summaries that end with a message that is gone, which versions without summaries leave behind."""
    found = await summaries.of(owner, conversation_id)
    gone = [one.id for one in found if one.through_id not in there]
    await summaries.drop(owner, conversation_id, made_of(gone, found))


async def erase(summaries: Summaries, owner: Owner, what: Selection) -> None:
    """Take back the summaries that stand on something that was forgotten."""
    for place, gone in (await touched(summaries, owner, what)).items():
        await summaries.drop(owner, place, gone)


async def touched(summaries: Summaries, owner: Owner, what: Selection) -> dict[str, list[str]]:
    """Return the summaries that stand on something that is forgotten, by conversation."""
    forgotten, gone = Forgotten([what]), dict[str, list[str]]()
    for place in await summaries.places(owner):
        found = await summaries.of(owner, place)
        if ids := [one.id for one in found if touches(owner, one, forgotten)]:
            gone[place] = made_of(ids, found)
    return gone
