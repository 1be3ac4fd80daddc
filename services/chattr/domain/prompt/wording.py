"""What a prompt says in our words and in the card's: who the character is, and the new message."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chattr.domain.character import Character
from chattr.domain.lorebook.activation import Active
from chattr.domain.prompt.history import as_messages, aside
from chattr.domain.prompt.parts import Budget, Message, Turn, content_parts
from chattr.domain.prompt.setting import Voice

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
FACTS: Final = "[What {name} knows from talking with {user}:\n{items}]"
KNOWN: Final = "[What {name} knows:\n{items}]"
PERSON: Final = "You talk with {user}. {description}"


def persona(voice: Voice, budget: Budget, instructions: str | None, lore: Sequence[Active] = ()) -> str:
    """Write the system message, with lore where it says. The card's system prompt stands instead of ours."""
    character, person = voice.character, voice.setting.person
    ours = ROLE_PLAY.format(name=character.name)
    own = voice.still(character.system_prompt, "system_prompt", ours) or ours
    replaced = bool(instructions) and character.client_instructions == "replace"
    scenario = voice.still(character.scenario, "scenario")
    parts = [
        *at("before_char", lore),
        (instructions or "") if replaced else own,
        *at("before_desc", lore),
        voice.still(character.personality, "personality"),
        *at("after_desc", lore),
        *at("personality", lore),
        scenario,
        *at("scenario", lore),
        *at("after_char", lore),
        DISCLOSURE.format(name=character.name) if budget.disclosure else "",
        told_of(voice) if person.name or person.description else "",
        "" if replaced else instructions or "",
    ]
    return "\n".join(part.strip() for part in parts if part.strip())


def at(position: str, lore: Sequence[Active]) -> list[str]:
    """Return what stands at a position."""
    return [one.content for one in lore if one.position == position]


def told_of(voice: Voice) -> str:
    """Say with whom the character talks."""
    person = voice.setting.person
    return PERSON.format(user=person.called, description=voice.still(person.description, "person")).strip()


def asked(
    voice: Voice,
    text: str,
    memories: Sequence[str],
    facts: Sequence[str] = (),
    *,
    raw: Mapping[str, Any] | None = None,
    known: Sequence[Active] = (),
    ahead: Sequence[str] = (),
    behind: Sequence[Active] = (),
) -> Message:
    """Write the new message: lore beside it, what is known and remembered, instructions to repeat, and what was said
    or, in `raw`, shown; `ahead` of all and `behind` it the lore that stands there.
    """
    character = voice.character
    lore = KNOWN.format(name=character.name, items="\n".join(one.content for one in known)) if known else ""
    user = voice.setting.person.called
    learnt = FACTS.format(name=character.name, user=user, items="\n".join(facts)) if facts else ""
    remembered = REMEMBERED.format(name=character.name, items="\n".join(memories)) if memories else ""
    reminder = voice.fresh(character.post_history_instructions, "post_history_instructions", "")
    before = [part for part in (*ahead, lore, learnt, remembered, reminder) if part]
    after = [aside(one) for one in behind]
    if raw is None:
        return {"role": "user", "content": "\n".join([*before, *([text] if text else []), *after])}
    lead = [{"type": "text", "text": "\n".join(before)}] if before else []
    rest = [{"type": "text", "text": "\n".join(after)}] if after else []
    return {**raw, "content": [*lead, *content_parts(raw), *rest]}


def honest_turns(character: Character, text: str, budget: Budget) -> list[Message]:
    """Return an exchange that shows the honest answer, where it is asked for and not already told."""
    if budget.disclosure or not ASKED_WHAT_IT_IS.search(text):
        return []
    answer = HONEST_ANSWER.format(name=character.name)
    return as_messages([Turn("user", HONEST_QUESTION), Turn("assistant", answer)])
