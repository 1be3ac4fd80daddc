"""What a character takes from a card, and what its later edits change in the card. Macros stay as they are written
until a prompt is put together.

| character | card |
| --- | --- |
| description (for people) | creator_notes |
| personality (for the model) | description, then personality |
| greetings | first_mes, then alternate_greetings |
| examples | mes_example, where it is exchanges of two |
| lorebook | character_book |
| group_greetings | group_only_greetings |
| voice, speech_model, language, appearance, sampling, memory, client_instructions | extensions.chatacter |
| name, nickname, scenario, system_prompt, post_history_instructions, tags | the same |

A card sets no model, and publishes nobody. What records of schema 3 brought, lorebooks too, changes nothing in the card
of a character whose record is older: that says nothing of it. Such a record, when it is written anew, takes from its
card what that says of them (`newer_of`).
"""

import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from chattr.domain.card import dialogue
from chattr.domain.card.json_text import Number, plain, whole
from chattr.domain.card.model import own_part, with_own_part
from chattr.domain.card.versions import V1_FIELDS, V3, as_v3, data_of
from chattr.domain.character import LANGUAGE, Character, CharacterCreate
from chattr.domain.lorebook import reading as books
from chattr.domain.lorebook.book import Lorebook
from chattr.domain.lorebook.reading import book_of
from chattr.domain.naming import printable

MOST_NAME: Final = 100
MOST_NOTES: Final = 2_000
MOST_PROSE: Final = 16_000
MOST_SAID: Final = 4_000
MOST_GREETINGS: Final = 16
MOST_EXAMPLES: Final = 32
MOST_DIALOGUE: Final = 4 * MOST_EXAMPLES * MOST_SAID  # that is looked through for them
MOST_TAGS: Final = 32
MOST_TAG: Final = 40
OWN_FIELDS: Final = ("voice", "speech_model", "language", "temperature", "max_tokens")
TAKEN: Final = (
    *("name", "description", "personality", "scenario", "system_prompt", "post_history_instructions"),
    *("greetings", "examples", "tags", *OWN_FIELDS),
)
# What schema 3 brought: with a place in the card, and in our own part.
NEW_FIELDS: Final = ("nickname", "group_greetings")
NEW_OWN: Final = (
    *("appearance", "top_p", "frequency_penalty", "presence_penalty", "stop", "seed"),
    *("memory", "client_instructions"),
)
NEW_SINCE: Final = 3
BOOK: Final = "character_book"

CUT: Final = "`{field}` is longer than a character's may be and was cut to {most} characters; the card keeps it whole."
FEWER: Final = "Of `{field}` only the first {most} are used; the card keeps them all."
NAME_ALONE: Final = "The card says nothing of who this is; its name stands for that."


class Taking:
    """Takes a character's fields from a card, and remembers what did not fit."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._data = data_of(document)
        self.warnings: list[str] = []

    def fields(self) -> dict[str, Any]:
        """Return what a character takes; `name` is empty where the card has none."""
        name = " ".join(printable(self._text("name")).split())
        personality = "\n\n".join(filter(str.strip, (self._text("description"), self._text("personality"))))
        taken: dict[str, Any] = {
            "name": self._cut("name", name, MOST_NAME).strip(),
            "description": self._cut("creator_notes", self._text("creator_notes"), MOST_NOTES),
            "personality": self._cut("description", personality, MOST_PROSE),
            "greetings": self._greetings(),
            "examples": self._examples(),
            "tags": self._tags(),
            "lorebook": self._lorebook(),
            **self._newer(),
            **self._own(),
        }
        for field, most in (("scenario", MOST_PROSE), ("system_prompt", MOST_PROSE)):
            taken[field] = self._cut(field, self._text(field), most)
        field = "post_history_instructions"
        taken[field] = self._cut(field, self._text(field), MOST_SAID)
        if name and not taken["personality"].strip() and not taken["system_prompt"].strip():
            taken["personality"] = taken["name"]
            self.warnings.append(NAME_ALONE)
        return taken

    def _text(self, field: str) -> str:
        value = self._data.get(field)
        return whole(value) if isinstance(value, str) else ""

    def _texts(self, field: str) -> list[str]:
        value = self._data.get(field)
        return [whole(each) for each in value if isinstance(each, str)] if isinstance(value, list) else []

    def _cut(self, field: str, text: str, most: int) -> str:
        if len(text) > most:
            self.warnings.append(CUT.format(field=field, most=most))
        return text[:most]

    def _first(self, field: str, items: list[Any], most: int) -> tuple[Any, ...]:
        if len(items) > most:
            self.warnings.append(FEWER.format(field=field, most=most))
        return tuple(items[:most])

    def _greetings(self) -> tuple[str, ...]:
        said = [self._text("first_mes"), *self._texts("alternate_greetings")]
        kept = [self._cut("alternate_greetings", each, MOST_SAID) for each in said if each.strip()]
        return self._first("alternate_greetings", kept, MOST_GREETINGS)

    def _examples(self) -> tuple[dict[str, str], ...]:
        found = dialogue.pairs(self._text("mes_example")[:MOST_DIALOGUE], self._text("name"), self._text("nickname"))
        found = islice(found, MOST_EXAMPLES + 1)
        fitting = [
            {"user": self._cut("mes_example", user, MOST_SAID), "assistant": self._cut("mes_example", said, MOST_SAID)}
            for user, said in found
        ]
        return self._first("mes_example", fitting, MOST_EXAMPLES)

    def _tags(self) -> tuple[str, ...]:
        trimmed = (each.strip() for each in self._texts("tags"))
        tags = list(dict.fromkeys(self._cut("tags", tag, MOST_TAG).strip() for tag in trimmed if tag))
        return self._first("tags", tags, MOST_TAGS)

    def _lorebook(self) -> Lorebook | None:
        book = as_v3(self._document)["data"].get(BOOK)
        if not isinstance(book, dict):
            return None
        made, told = book_of(plain(book))
        self.warnings += told
        return made

    def _newer(self) -> dict[str, Any]:
        """Read what V3 knows and V2 keeps aside for it, and what our own part has since schema 3."""
        data = as_v3(self._document)["data"]
        nickname = data.get("nickname")
        called = " ".join(printable(whole(nickname)).split()) if isinstance(nickname, str) else ""
        greetings = [whole(each) for each in data.get("group_only_greetings") or [] if each.strip()]
        field = "group_only_greetings"
        kept = [self._cut(field, each, MOST_SAID) for each in greetings]
        own = own_part(data)
        return {
            "nickname": self._cut("nickname", called, MOST_NAME).strip(),
            "group_greetings": self._first(field, kept, MOST_GREETINGS),
            **{name: found for name in NEW_OWN if (found := as_written(name, own.get(name))) is not None},
        }

    def _own(self) -> dict[str, Any]:
        """Read our own part; what is not as we write it is left alone."""
        own = own_part(self._data)
        voice, model, language = (own.get(name) for name in OWN_FIELDS[:3])
        temperature, tokens = number(own.get("temperature")), number(own.get("max_tokens"))
        taken: dict[str, Any] = {}
        if is_line(voice):
            taken["voice"] = voice
            taken["speech_model"] = model if is_line(model) else None
        if isinstance(language, str) and LANGUAGE.fullmatch(language):
            taken["language"] = language
        if temperature is not None and 0 <= temperature <= 2:
            taken["temperature"] = temperature
        if tokens is not None and tokens == int(tokens) and 1 <= tokens <= 32_768:
            taken["max_tokens"] = int(tokens)
        return taken


def taken(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what a character takes from a card, and what its sender should know of it."""
    taking = Taking(document)
    return taking.fields(), taking.warnings


def newer_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a card says of the fields that records have since schema 3."""
    imported, _ = taken(document)
    return {name: imported[name] for name in (*NEW_FIELDS, *NEW_OWN, "lorebook") if name in imported}


def laid_over(document: dict[str, Any], character: CharacterCreate, now: int) -> dict[str, Any]:
    """Return the card as V3 with the character's own fields where they were changed since; else as it is."""
    imported, _ = taken(document)
    before = CharacterCreate.model_construct(**imported).model_dump(include=set(TAKEN), warnings=False)
    after = character.model_dump(include=set(TAKEN))
    changed = {field: after[field] for field in TAKEN if after[field] != before[field]}
    rewritten = False
    if not isinstance(character, Character) or character.schema_version >= NEW_SINCE:
        changed |= newly_said(imported, character)
        rewritten = character.lorebook != imported["lorebook"]
    if not changed and not rewritten:
        return document
    document = as_v3(document)
    data = {**document["data"], "modification_date": now}
    own = dict(own_part(data))
    for field, value in changed.items():
        if field in OWN_FIELDS or field in NEW_OWN:
            own[field] = value
        else:
            data |= WRITTEN[field](value)
    if rewritten and character.lorebook is None:
        data.pop(BOOK, None)
    elif rewritten and character.lorebook is not None:
        data[BOOK] = books.laid_over(data.get(BOOK), character.lorebook, plain)
    data = with_own_part(data, {key: value for key, value in own.items() if value is not None})
    # Some programs repeat V1's fields beside `data`: a repetition says the same.
    mirrored = {name: data[name] for name in V1_FIELDS if isinstance(document.get(name), str)}
    return {**document, **mirrored, "data": data}


def newly_said(imported: Mapping[str, Any], character: CharacterCreate) -> dict[str, Any]:
    """Return those of the newer fields that a character says otherwise than its card, as JSON."""
    fields = {*NEW_FIELDS, *NEW_OWN}
    before = CharacterCreate.model_construct(**imported).model_dump(mode="json", include=fields, warnings=False)
    after = character.model_dump(mode="json", include=fields)
    return {name: value for name, value in after.items() if value != before[name]}


def as_written(name: str, value: Any) -> Any:
    """Return a field of our own part as a character has it; None where it is not as we write it."""
    try:
        fields = {"id": "somebody", "name": "Somebody", "personality": "Somebody", name: plain(value)}
        return getattr(CharacterCreate.model_validate(fields), name) if value is not None else None
    except ValidationError:
        return None


def written(character: CharacterCreate, now: int) -> dict[str, Any]:
    """Return a V3 card of a character that came from none."""
    blank = {**dict.fromkeys(V1_FIELDS, ""), "creation_date": now}
    return laid_over(as_v3({"spec": V3, "spec_version": "3.0", "data": blank_v3(blank)}), character, now)


def blank_v3(fields: dict[str, Any]) -> dict[str, Any]:
    """Return V3's mandatory fields."""
    texts = ("creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version")
    lists: dict[str, Any] = {"alternate_greetings": [], "tags": [], "group_only_greetings": []}
    return {**fields, **dict.fromkeys(texts, ""), **lists, "extensions": {}}


def same(field: str) -> Callable[[Any], dict[str, Any]]:
    """Write a field under its own name."""
    return lambda value: {field: value}


WRITTEN: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    **{name: same(name) for name in ("name", "nickname", "scenario", "system_prompt", "post_history_instructions")},
    "group_greetings": lambda said: {"group_only_greetings": list(said)},
    "description": lambda text: {"creator_notes": text},
    "personality": lambda text: {"description": text, "personality": ""},
    "greetings": lambda said: {"first_mes": said[0] if said else "", "alternate_greetings": list(said[1:])},
    "examples": lambda found: {"mes_example": dialogue.write((each["user"], each["assistant"]) for each in found)},
    "tags": lambda tags: {"tags": list(tags)},
}


def is_line(value: Any) -> bool:
    """Whether it can name a voice or a model."""
    return isinstance(value, str) and 0 < len(value) <= 200 and value == whole(value)


def number(value: Any) -> float | None:
    """Return a number of a card; None for anything else."""
    if not isinstance(value, Number):
        return None
    found = float(value.text)
    return found if math.isfinite(found) else None
