"""Finding characters by words and tags, whatever their case and accents."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from chattr.domain.character import Brief


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: every word somewhere in name, description or tags, and every tag as it is."""

    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, query: str, tags: Sequence[str] = ()) -> "Search":
        """Read a query and tags as somebody wrote them."""
        return cls(tuple(folded(query).split()), tuple(folded(tag).strip() for tag in tags))

    def finds(self, character: Brief) -> bool:
        """Whether a character is looked for."""
        tags = [folded(tag) for tag in character.tags]
        text = "\n".join([folded(f"{character.name}\n{character.nickname}\n{character.description}"), *tags])
        return all(tag in tags for tag in self.tags) and all(word in text for word in self.words)


def folded(text: str) -> str:
    """Return a text without case and accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
