"""What a lorebook is: the shape of V3, in which V2's fits, with all that others put beside it."""

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from chatacter.contracts.base import Open
from chattr.domain.mistake import mistake

MOST_ENTRIES: Final = 2_000
MOST_KEYS: Final = 256
MOST_KEY: Final = 1_000
MOST_CONTENT: Final = 16_000
MOST_TEXT: Final = 1_000_000
"""Characters of all entries of a book together."""
MOST_BESIDE: Final = 16_000
"""Characters of JSON beside the known fields, of one entry or of a book."""

TOO_MUCH_BESIDE: Final = f"beside the known fields there may be {MOST_BESIDE} characters of JSON"
NOT_JSON: Final = "numbers that are none, and what UTF-8 cannot carry, cannot be kept"
TOO_MUCH_TEXT: Final = f"the entries of a lorebook may have {MOST_TEXT} characters together"

Number = Annotated[int | float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)]
Key = Annotated[str, Field(max_length=MOST_KEY)]
Keys = Annotated[tuple[Key, ...], Field(max_length=MOST_KEYS)]
Label = Annotated[str, Field(max_length=1_000)]


def checked_beside(value: Any) -> Any:
    """Refuse what is too much to keep, or cannot be kept."""
    if not value:
        return value
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except ValueError:
        raise mistake(NOT_JSON) from None
    if len(text) > MOST_BESIDE:
        raise mistake(TOO_MUCH_BESIDE)
    return value


Extensions = Annotated[dict[str, JsonValue], AfterValidator(checked_beside)]


class Kept(Open):
    """A shape of others: fields that are not known are kept as they are."""

    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    @model_validator(mode="after")
    def keeps_little(self) -> Self:
        """Refuse unknown fields that are too much to keep, or cannot be kept."""
        checked_beside(self.model_extra)
        return self

    def written(self) -> dict[str, Any]:
        """Return it as JSON, without known fields that say nothing."""
        known = type(self).model_fields
        dumped = self.model_dump(mode="json", exclude={"entries"})
        return {name: value for name, value in dumped.items() if value is not None or name not in known}


class Entry(Kept):
    """Something to know, and when to tell it."""

    keys: Keys = ()
    """Told when one of these is found in what was said last."""
    content: Annotated[str, Field(max_length=MOST_CONTENT)] = ""
    """What is told; decorators (`@@name value`) may stand above it."""
    extensions: Extensions = Field(default_factory=dict)
    """What programs put here; SillyTavern's `position`, `depth`, `role`, `selectiveLogic`, `probability`, `scan_depth`,
    `case_sensitive`, `match_whole_words`, `exclude_recursion`, `prevent_recursion` and `delay_until_recursion` are
    obeyed."""
    enabled: bool = True
    """A disabled entry is never told."""
    insertion_order: Number = 0
    """Lower ones are told earlier."""
    case_sensitive: bool | None = None
    """Whether keys must be written as they are here. None: no."""
    use_regex: bool = False
    """Whether keys are regular expressions, bare or as `/…/flags`."""
    constant: bool | None = None
    """Told whatever was said."""
    name: Label | None = None
    """For people."""
    comment: Label | None = None
    """For people."""
    id: Number | Label | None = None
    """For programs."""
    priority: Number | None = None
    """Lower ones are left out first where not all fits. None: `insertion_order` stands for it."""
    selective: bool | None = None
    """Whether one of `secondary_keys` must be found as well."""
    secondary_keys: Keys | None = None
    """See `selective`."""
    position: Literal["before_char", "after_char"] | None = None
    """Before or after who the character is. None: after."""


class Lorebook(Kept):
    """Entries, and how they are looked for."""

    name: Label | None = None
    """For people."""
    description: Annotated[str, Field(max_length=MOST_CONTENT)] | None = None
    """For people."""
    scan_depth: Annotated[Number, Field(ge=0)] | None = None
    """How many of the last messages are looked through for keys. None: 4."""
    token_budget: Annotated[Number, Field(ge=0)] | None = None
    """Most tokens of its entries in one prompt. None: what the model leaves to lore."""
    recursive_scanning: bool | None = None
    """Whether what is told is looked through for keys, too. None: no."""
    extensions: Extensions = Field(default_factory=dict)
    """What programs put here; kept."""
    entries: Annotated[tuple[Entry, ...], Field(max_length=MOST_ENTRIES)] = ()
    """In any order."""

    def written(self) -> dict[str, Any]:
        """Return it as JSON, without known fields that say nothing."""
        return {**super().written(), "entries": [entry.written() for entry in self.entries]}

    @model_validator(mode="after")
    def is_small_enough(self) -> Self:
        """Refuse a book that no prompt could profit from and every reading would pay for."""
        if sum(len(entry.content) + sum(map(len, entry.keys)) for entry in self.entries) > MOST_TEXT:
            raise mistake(TOO_MUCH_TEXT)
        return self
