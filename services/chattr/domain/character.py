"""Characters: who they are, how they talk, what they look and sound like. These are also their shapes on the wire."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from chatacter.contracts.base import Strict
from chattr.domain.lorebook.book import Lorebook
from chattr.domain.mistake import mistake
from chattr.domain.naming import visible

SCHEMA_VERSION: Final = 3
ID: Final = re.compile(r"[a-z0-9_-]{1,64}")
ASSET: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

BAD_ID: Final = "use 1 to 64 small letters, digits, `_` or `-`"
BAD_NAME: Final = "a character needs a name that can be seen"
BAD_NICKNAME: Final = "a nickname stands in one line and can be seen; leave it out where there is none"
BAD_ASSET: Final = "use the name of a built-in portrait or an asset's id"
BAD_LANGUAGE: Final = "use a language tag such as `en` or `pt-BR`"
BAD_TAGS: Final = "each tag needs 1 to 40 characters"
NOBODY: Final = "say who this is: set `personality`, `system_prompt` or both"
NO_VOICE: Final = "a voice belongs to a model: set `voice` beside `speech_model`"


def checked_id(value: str) -> str:
    """Refuse what cannot stand in a path, a key and a model's name alike."""
    if not ID.fullmatch(value):
        raise mistake(BAD_ID)
    return value


def slug(name: str) -> str:
    """Make an id of a name; `character` where nothing of it can stand in one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain)[:64].strip("-") or "character"


def checked_name(value: str) -> str:
    """Trim a name; refuse one that is empty, or would break a line."""
    trimmed = value.strip()
    if not trimmed or not visible(trimmed):
        raise mistake(BAD_NAME)
    return trimmed


def checked_nickname(value: str) -> str:
    """Trim a nickname, which may be none; refuse one that would break a line."""
    trimmed = value.strip()
    if not visible(trimmed) or (value and not trimmed):
        raise mistake(BAD_NICKNAME)
    return trimmed


def checked_asset(value: str | None) -> str | None:
    """Refuse what is no name: paths and URLs above all."""
    if value is not None and not ASSET.fullmatch(value):
        raise mistake(BAD_ASSET)
    return value


def checked_language(value: str) -> str:
    """Refuse what is not shaped like a language tag. Source: BCP 47."""
    if not LANGUAGE.fullmatch(value):
        raise mistake(BAD_LANGUAGE)
    return value


def checked_tags(value: tuple[str, ...]) -> tuple[str, ...]:
    """Trim tags and drop repetitions."""
    tags = tuple(dict.fromkeys(tag.strip() for tag in value))
    if not all(0 < len(tag) <= 40 for tag in tags):
        raise mistake(BAD_TAGS)
    return tags


CharacterId = Annotated[str, AfterValidator(checked_id)]
Line = Annotated[str, Field(max_length=200)]
Prose = Annotated[str, Field(max_length=16_000)]
Said = Annotated[str, Field(min_length=1, max_length=4_000)]


class Example(Strict):
    """One exchange that shows how the character talks."""

    user: Said
    """What somebody says."""
    assistant: Said
    """What the character answers."""


class MemoryPolicy(Strict):
    """What a character may remember."""

    long_term: bool = True
    """`false`: nothing that is said goes to long-term memory, and nothing comes from it."""
    recall: Annotated[int, Field(ge=0, le=20)] | None = None
    """Most memories that reach a prompt; 0: none does, and turns are remembered all the same. None: what helps."""


class CharacterCreate(Strict):
    """A character as somebody writes it. `id`, `name` and who it is are enough."""

    id: CharacterId
    """Its name in addresses and as an OpenAI `model`: small letters, digits, `_`, `-`."""
    name: Annotated[str, Field(max_length=100), AfterValidator(checked_name)]
    """What it is called."""
    nickname: Annotated[str, Field(max_length=100), AfterValidator(checked_nickname)] = ""
    """What it is called in talk, where `{{char}}` stands. Empty: its name."""
    description: Annotated[str, Field(max_length=2_000)] = ""
    """For people who choose a character. Never part of the prompt."""
    personality: Prose = ""
    """What it is like; part of the prompt."""
    system_prompt: Prose = ""
    """What the model is told first. Empty: a sentence that makes it play `name`."""
    scenario: Prose = ""
    """Where and when it is met; part of the prompt."""
    greetings: Annotated[tuple[Said, ...], Field(max_length=16)] = ()
    """What it may open with; the first unless another is chosen."""
    group_greetings: Annotated[tuple[Said, ...], Field(max_length=16)] = ()
    """What it may open with among several characters, beside `greetings`."""
    examples: Annotated[tuple[Example, ...], Field(max_length=32)] = ()
    """How it talks. Small models need them more than any description."""
    post_history_instructions: Annotated[str, Field(max_length=4_000)] = ""
    """Told again with every message, close to the answer."""
    tags: Annotated[tuple[str, ...], Field(max_length=32), AfterValidator(checked_tags)] = ()
    """What it is found by."""
    voice: Line | None = None
    """A voice of its speech model. None: the voice of `VOCALIZR__VOICE`."""
    speech_model: Line | None = None
    """The model that `voice` belongs to. None: the one that a request names, else `VOCALIZR__MODEL`."""
    portrait: Annotated[str | None, AfterValidator(checked_asset)] = None
    """The name of a built-in portrait, or the id of a stored picture. None: it cannot be filmed."""
    appearance: Annotated[str, Field(max_length=2_000)] = ""
    """What it looks like, in words for models that draw. Never part of a chat's prompt."""
    language: Annotated[str, AfterValidator(checked_language)] = "en"
    """What it speaks, as a language tag."""
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The language model that answers, one of `MODEL__ALTERNATIVES`. None: the installation's. No card sets it."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Sampling temperature; None: the model's. A request's own parameters win over a character's, this and below."""
    max_tokens: Annotated[int, Field(ge=1, le=32_768)] | None = None
    """Most tokens of an answer, where the model allows as many; None: the model's."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of likely tokens that are drawn from; None: the provider's."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    """Against words that were said often; None: the provider's."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    """Against words that were said at all; None: the provider's."""
    stop: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(max_length=4)] = ()
    """Texts before which an answer ends: as many as OpenAI takes."""
    seed: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = None
    """Makes sampling repeat itself, as far as the provider can; None: drawn anew."""
    memory: MemoryPolicy = MemoryPolicy()
    """What it may remember."""
    lorebook: Lorebook | None = None
    """What it knows of its world, told when somebody speaks of it. None: nothing."""
    lorebooks: Annotated[tuple[CharacterId, ...], Field(max_length=16)] = ()
    """The ids of lorebooks that it shares with others, after its own."""
    client_instructions: Literal["add", "replace"] = "add"
    """What a client's system message does: it is added to who this is, or replaces `system_prompt`."""
    published: bool = False
    """Whether other tenants may talk with it too. What they say and what it remembers of them stays theirs."""

    @model_validator(mode="after")
    def is_somebody(self) -> Self:
        """Refuse a character that nothing is said about."""
        if not (self.personality.strip() or self.system_prompt.strip()):
            raise mistake(NOBODY)
        return self

    @model_validator(mode="after")
    def speaks_with_a_voice_of_its_model(self) -> Self:
        """Refuse a model without a voice: the operator's default voice is one of another."""
        if self.speech_model is not None and self.voice is None:
            raise mistake(NO_VOICE)
        return self

    @property
    def greeting(self) -> str | None:
        """The greeting that is used unless another is chosen."""
        return self.greetings[0] if self.greetings else None


class Character(CharacterCreate):
    """A character as it is stored."""

    schema_version: Literal[1, 2, 3] = SCHEMA_VERSION
    """Of what is stored; a later shape raises it and reads those before. 2 added `card`; 3 `nickname`,
    `group_greetings`, `appearance`, `model`, more sampling, `memory`, `lorebook`, `lorebooks`,
    `client_instructions` and `published`."""
    card: Annotated[str | None, AfterValidator(checked_asset)] = None
    """The stored card that it came from; None: it came from none."""

    @classmethod
    def made(cls, written: CharacterCreate) -> Self:
        """Take one that was just written."""
        return cls(**{name: getattr(written, name) for name in CharacterCreate.model_fields})


class Brief(Strict):
    """What a list is searched by: a character without what makes it long. Stored beside each."""

    id: CharacterId
    """What it is named by."""
    name: str
    """What it is called."""
    nickname: str = ""
    """What it is called in talk."""
    description: str = ""
    """For people who choose a character."""
    tags: tuple[str, ...] = ()
    """What it is found by."""
    published: bool = False
    """Whether other tenants may talk with it too."""

    @classmethod
    def of(cls, character: Character) -> Self:
        """Take of a character what a list needs, without checking it again."""
        return cls.model_construct(**{name: getattr(character, name) for name in cls.model_fields})


Origin = Literal["built_in", "file", "own", "override", "published"]
Capability = Literal["text", "speech", "video"]


class CharacterRead(Character):
    """A character as it is shown."""

    object: Literal["character"] = "character"
    """What this is."""
    origin: Origin
    """It comes with Chatacter, from `CHARACTER_CONFIG_PATH`, or was made by this tenant; it is this tenant's change of
    one that comes with the installation; or another tenant has published it."""
    capabilities: tuple[Capability, ...]
    """What it can do here and now: `video` needs a portrait that is there, and a voice."""

    @classmethod
    def shown(cls, character: Character, origin: Origin, capabilities: tuple[Capability, ...]) -> Self:
        """Show a stored one."""
        fields = {name: getattr(character, name) for name in Character.model_fields}
        return cls(origin=origin, capabilities=capabilities, **fields)


class CharacterReplace(CharacterCreate):
    """A character as it shall be. It may be given as it was read: what can only be read is passed over."""

    @model_validator(mode="before")
    @classmethod
    def passes_over_what_is_read(cls, value: Any) -> Any:
        """Leave out what only reading gives."""
        return without_read_only(value) if isinstance(value, dict) else value


READ_ONLY: Final = frozenset(CharacterRead.model_fields) - frozenset(CharacterCreate.model_fields)


def without_read_only(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be written of a character as it is shown."""
    return {name: value for name, value in fields.items() if name not in READ_ONLY}
