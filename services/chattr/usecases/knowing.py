"""Knowledge follows what is stored, as long-term memory does: facts go with what they were drawn from."""

from collections.abc import Callable, Mapping, Sequence

from chattr.domain.conversation import Conversation, Message, branch
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Fact, in_conversation, without
from chattr.domain.memory import Selection
from chattr.ports.knowledge import Facts, Knowledge
from chattr.ports.summaries import Summaries
from chattr.usecases.summing import erase, follow


class Knowing:
    """What is known of people. Every method raises `Unavailable`.

    `summaries`: what is forgotten is taken back from these too.
    """

    def __init__(self, knowledge: Knowledge, summaries: Summaries | None = None) -> None:
        self._knowledge = knowledge
        self._summaries = summaries

    async def facts(self, owner: Owner) -> Sequence[Fact]:
        """Return a person's facts, also those that no longer hold."""
        return (await self._knowledge.facts(owner)).all

    async def revision(self, owner: Owner) -> int:
        """Return how often what is known of a person changed."""
        return await self._knowledge.revision(owner)

    async def amendments(self, owner: Owner) -> Mapping[str, Amendment]:
        """Return what a person did to memories, by the memory's id."""
        return await self._knowledge.amendments(owner)

    async def amend(self, owner: Owner, amendment: Amendment) -> bool:
        """Keep what was done to a memory; False where somebody else did something to it meanwhile."""
        return await self._knowledge.amend(owner, amendment)

    async def change(self, owner: Owner, work: Callable[[Sequence[Fact]], Sequence[Fact]]) -> Facts:
        """Work facts out from those that there are, again where others did too. Returns what is stored then."""
        while True:
            before = await self._knowledge.facts(owner)
            after = await self._knowledge.write_facts(owner, before, work(before.all))
            if after is not None:
                return after

    async def follow(
        self, owner: Owner, conversation_id: str, conversation: Conversation | None, messages: Sequence[Message]
    ) -> Facts:
        """Take back what stands on messages that are gone, and return what is known then. None: it is gone itself."""
        there = {message.id for message in messages}
        active = {message.id for message in branch(messages, conversation.head_id)} if conversation else set()
        if conversation is None:
            await self._knowledge.drop_conversation(owner, conversation_id)
        elif self._summaries is not None:
            await follow(self._summaries, owner, conversation_id, there)
        return await self.change(owner, lambda facts: in_conversation(facts, conversation_id, there, active))

    async def erase(self, owner: Owner, what: Selection) -> Sequence[str]:
        """Take back what was drawn from forgotten memories or sums them up, and what people wrote in their place.

        Returns the facts that are gone.
        """
        before = await self.facts(owner)
        left = {fact.id for fact in (await self.change(owner, lambda facts: without(owner, facts, what))).all}
        await self.drop(owner, what)
        if self._summaries is not None:
            await erase(self._summaries, owner, what)
        return [fact.id for fact in before if fact.id not in left]

    async def forget(self, owner: Owner, what: Selection, *, revision: int) -> bool:
        """Put down what to forget where what is known is at this revision still; False where it changed since."""
        return await self._knowledge.forget(owner, what, revision=revision)

    async def drop(self, owner: Owner, what: Selection) -> None:
        """Forget what was done to memories that are gone."""
        amended = await self._knowledge.amendments(owner)
        await self._knowledge.drop(owner, [each for each, one in amended.items() if what.covers(one.memory)])
