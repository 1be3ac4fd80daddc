"""Who of a group answers: whom a message names, each in turn, whom the language model chooses, or the client."""

import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, InvalidInput, NotFound
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.turns import Company, after, mentioned, since_the_person
from chattr.ports.language import ChatRequest, LanguageModel, text_of
from chattr.usecases.characters import Cast

logger = logging.getLogger(__name__)

CHOOSING_SECONDS: Final = 10.0
# What the model reads of what was said before it chooses.
LINES: Final = 8
LONGEST_LINE: Final = 300
CHOOSE: Final = (
    "You direct a conversation. These are in it: {names}. Read what was said and decide who speaks next. Answer with "
    "one of these names and nothing else."
)
SHORT: Final = {"max_tokens": 16, "temperature": 0.0}
NAME_ONE: Final = "In this conversation the client says who answers: set `character` to one of {members}."


class Turns:
    """Decides who speaks next."""

    def __init__(self, cast: Cast, language: LanguageModel) -> None:
        self._cast = cast
        self._language = language

    async def company(self, owner: Owner, conversation: Conversation, path: Sequence[Message] = ()) -> Company:
        """Find out who is together. Members that are no more are left out. Raises `NotFound` when nobody is left."""
        known: dict[str, Character] = {}
        for character_id in dict.fromkeys((*conversation.members, *(m.character_id for m in path if m.character_id))):
            try:
                known[character_id] = await self._cast.get(owner, character_id)
            except NotFound:
                continue
        members = tuple(known[each] for each in conversation.members if each in known)
        if not members:
            raise NotFound("None of the characters of this conversation is there any more.", param="conversation_id")
        names = {each: character.nickname or character.name for each, character in known.items()}
        return Company(conversation, members, names)

    def require_said(self, company: Company) -> None:
        """Refuse a message where the client has to say who answers, and did not. Raises `InvalidInput`."""
        if company.conversation.order == "client":
            raise InvalidInput(NAME_ONE.format(members=", ".join(company.audience)), param="character")

    async def first(self, company: Company, path: Sequence[Message]) -> Character:
        """Choose who answers what was said last."""
        last = path[-1] if path else None
        if company.conversation.order == "mention" and last is not None:
            others = [member for member in company.members if member.id != last.character_id or last.role == "user"]
            return next(iter(mentioned(last.content, others)), None) or after(company.members, path)
        if company.conversation.order == "model":
            return await self._chosen(company, path, company.members) or after(company.members, path)
        return after(company.members, path)

    async def following(self, company: Company, path: Sequence[Message]) -> Character | None:
        """Choose who speaks after a reply without being asked; None: the person."""
        asked, spoke = since_the_person(path)
        if not spoke or len(spoke) >= company.conversation.replies:
            return None
        others = [member for member in company.members if member.id != spoke[-1]]
        match company.conversation.order:
            case "mention":
                named = mentioned(asked.content if asked else "", company.members)
                waiting = [member for member in named if member.id not in spoke]
                return next(iter([*waiting, *mentioned(path[-1].content, others)]), None)
            case "round_robin":
                following = after(company.members, path)
                return None if following.id in spoke else following
            case "model":
                return await self._chosen(company, path, others)
            case "client":
                return None

    async def _chosen(self, company: Company, path: Sequence[Message], among: Sequence[Character]) -> Character | None:
        """Ask the language model; None when it names the person, nobody, several, or is away."""
        names = ", ".join([*(company.names[member.id] for member in among), company.person])
        said = "\n".join(f"{company.called(each)}: {each.content[:LONGEST_LINE]}" for each in path[-LINES:])
        messages = [
            {"role": "system", "content": CHOOSE.format(names=names)},
            {"role": "user", "content": f"{said}\n\nWho speaks next: {names}?"},
        ]
        request = ChatRequest(messages, {**SHORT})
        try:
            async with aclosing(self._language.stream(request, Deadline.after(CHOOSING_SECONDS))) as chunks:
                answer = "".join([text_of(chunk) async for chunk in chunks])
        except ChatacterError as error:
            logger.warning("nobody was chosen to speak", extra={"error.type": type(error).__name__})
            return None
        named = mentioned(answer, among)
        return named[0] if len(named) == 1 else None
