r"""Macros ("curly braced syntaxes") of cards and lorebooks. Pure: chance comes from seeds that the caller gives.

| written | becomes |
| --- | --- |
| `{{char}}` `<BOT>` `<CHAR>` | the character's nickname, or else its name |
| `{{user}}` `<USER>` | the person's name |
| `{{original}}` | what would stand here without the card, in a system prompt and in post-history instructions |
| `{{random:A,B}}` | one of them, drawn for each prompt |
| `{{pick:A,B}}` | one of them, the same one at this place of this conversation |
| `{{roll:6}}` `{{roll:d6}}` | a number from 1 to 6 |
| `{{reverse:A}}` | A, backwards |
| `{{// A}}` `{{comment:A}}` | nothing |
| `{{hidden_key:A}}` | nothing, but A where lorebooks look for keys |

Case does not matter. A comma is escaped as `\,`; `::` separates as well, as SillyTavern writes it. What is not known
stays as it is written. What a macro becomes is never read for macros again, so that no name and no text can grow into
one. Source: Character Card V3, "Curly Braced Syntaxes"; V1, "Fields".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Literal

MOST_NESTED: Final = 8
MOST_CHARACTERS: Final = 128_000
"""Of what a text becomes; the rest is cut."""
MOST_SIDES: Final = 1_000_000_000

# A name is one token, since cards are full of them.
TOKEN: Final = re.compile(r"\{\{\s*(?:user|char)\s*\}\}|<(?:user|bot|char)>|\{\{(?!\{)|\}\}", re.IGNORECASE)
NAME: Final = re.compile(r"\s*(//|[A-Za-z_]+)\s*(?::|(?=\s|$)|(?<=//))")
VARYING: Final = re.compile(r"\{\{\s*(?:user\s*\}|random|pick|roll)|<user>", re.IGNORECASE)
DIE: Final = re.compile(r"\s*[dD]?([0-9]{1,10})\s*")

Purpose = Literal["prompt", "keys"]


@dataclass(frozen=True, slots=True)
class Chance:
    """Where drawn values come from: the same seeds draw the same."""

    steady: str = ""
    """Of a conversation; `{{pick}}` follows it."""
    fresh: str = ""
    """Of a prompt; `{{random}}` and `{{roll}}` follow it."""

    def still(self) -> "Chance":
        """Return chance that is the same in every prompt of the conversation."""
        return Chance(self.steady, self.steady)


@dataclass(frozen=True, slots=True)
class Names:
    """Whose names stand for `{{char}}` and `{{user}}`, and how chance falls."""

    char: str
    user: str
    chance: Chance = field(default_factory=Chance)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that is being read. What is `done` came from a macro and is not read again."""

    text: str
    done: bool = False


def expanded(text: str, names: Names, place: str, *, original: str | None = None, purpose: Purpose = "prompt") -> str:
    """Return a text with its macros replaced; time and length are bounded by its length.

    `place`: which text of a prompt it is; values drawn at one place have nothing to do with another's. `original`: what
    `{{original}}` becomes; None where it has no meaning. `purpose`: "keys" for text that lorebooks look through.
    """
    if "{{" not in text and "<" not in text:
        return text
    reading = Reading(names, place, original, purpose)
    end = 0
    for token in TOKEN.finditer(text):
        reading.take(text[end : token.start()])
        reading.turn(token[0])
        end = token.end()
    reading.take(text[end:])
    return reading.whole()[:MOST_CHARACTERS]


def varies(text: str) -> bool:
    """Whether a text may differ from person to person or from conversation to conversation."""
    return VARYING.search(text) is not None


class Reading:
    """One pass over a text: open macros are a stack of what stands in them so far."""

    def __init__(self, names: Names, place: str, original: str | None, purpose: Purpose) -> None:
        self._names = names
        self._place = place
        self._original = original
        self._purpose = purpose
        self._open: list[list[Piece]] = [[]]
        self._drawn = 0

    def take(self, text: str) -> None:
        """Read plain text."""
        if text:
            self._open[-1].append(Piece(text))

    def turn(self, sign: str) -> None:
        """Read an opening, a closing, or a name in angle brackets."""
        if sign == "{{":
            self._open.append([])
            if len(self._open) > MOST_NESTED + 1:
                self._spill()
        elif sign != "}}":
            name = self._names.user if "user" in sign.lower() else self._names.char
            self._open[-1].append(Piece(name, done=True))
        elif len(self._open) > 1:
            self._close(self._open.pop())
        else:
            self.take(sign)

    def whole(self) -> str:
        """Return the text; what was never closed stays as it is written."""
        while len(self._open) > 1:
            self._spill()
        return joined(self._open[0])

    def _spill(self) -> None:
        """Take back the outermost macro that is open: it is plain text."""
        outermost = self._open.pop(1)
        self._open[0] += [Piece("{{", done=True), *outermost]

    def _close(self, body: list[Piece]) -> None:
        became = self._became(body)
        if became is None:
            self._open[-1] += [Piece("{{", done=True), *body, Piece("}}", done=True)]
        elif became:
            self._open[-1].append(Piece(became, done=True))

    def _became(self, body: list[Piece]) -> str | None:
        """Return what a macro becomes; None where it is not known."""
        name = NAME.match(body[0].text) if body and not body[0].done else None
        if name is None:
            return None
        rest = [Piece(body[0].text[name.end() :]), *body[1:]]
        return self._valued(name[1].lower(), rest)

    def _valued(self, name: str, rest: list[Piece]) -> str | None:
        if name == "original":
            return None if joined(rest).strip() else self._original
        if name in {"//", "comment"}:
            return ""
        if name == "hidden_key":
            return joined(rest) if self._purpose == "keys" else ""
        if name == "reverse":
            return joined(rest)[::-1]
        if name in {"random", "pick"}:
            return self._chosen(name, list(options(rest)))
        return self._rolled(joined(rest)) if name == "roll" else None

    def _chosen(self, name: str, found: list[str]) -> str | None:
        if not any(found):
            return None
        chance = self._names.chance
        return found[self._draw(chance.steady if name == "pick" else chance.fresh, len(found))]

    def _rolled(self, sides: str) -> str | None:
        die = DIE.fullmatch(sides)
        most = int(die[1]) if die else 0
        return str(1 + self._draw(self._names.chance.fresh, most)) if 1 <= most <= MOST_SIDES else None

    def _draw(self, seed: str, below: int) -> int:
        """Return a number below another, for the next place in this text."""
        self._drawn += 1
        key = "\0".join((seed, self._place, str(self._drawn))).encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(key, digest_size=8).digest(), "big") % below


def options(pieces: list[Piece]) -> Iterator[str]:
    """Yield the values between separators. Those within what came from a macro do not separate."""
    written = "".join(piece.text for piece in pieces if not piece.done).removeprefix(":")
    separator = re.compile(r"::" if "::" in written else r"(?<!\\),")
    value, first = "", True
    for piece in pieces:
        if piece.done:
            value += piece.text
            continue
        text = piece.text.removeprefix(":") if first else piece.text
        first = False
        head, *others = separator.split(text)
        value += head.replace("\\,", ",")
        for other in others:
            yield value
            value = other.replace("\\,", ",")
    yield value


def joined(pieces: list[Piece]) -> str:
    """Return pieces as one text."""
    return "".join(piece.text for piece in pieces)
