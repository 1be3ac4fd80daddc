"""Which tokens of a GGUF model are control tokens: the borders of messages, the end of a text.

llama.cpp's chat door reads them wherever they are spelled, in what people say as in its template, so that a message
could end itself and begin another one in the name of the system. Source: GGUF 3, `tokenizer.ggml.tokens` and
`token_type`.
"""

import mmap
import re
import struct
from array import array
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

MAGIC: Final = b"GGUF"
STRING: Final = 8
ARRAY: Final = 9
SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TOKENS: Final = "tokenizer.ggml.tokens"
TYPES: Final = "tokenizer.ggml.token_type"
CONTROL: Final = 3
NO_GGUF: Final = "This is no GGUF file."


class Reader:
    """Reads metadata one value after the other."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._place = 0

    def unpacked(self, form: str) -> tuple[Any, ...]:
        """Read fixed values."""
        found = struct.unpack_from(form, self._data, self._place)
        self._place += struct.calcsize(form)
        return found

    def taken(self, size: int) -> bytes:
        """Read bytes."""
        self._place += size
        return self._data[self._place - size : self._place]

    def text(self) -> bytes:
        """Read a string."""
        return self.taken(self.unpacked("<Q")[0])

    def value(self, kind: int) -> Any:
        """Read a value; arrays of numbers stay bytes."""
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            return self.taken(SIZES[kind])
        inner, count = self.unpacked("<IQ")
        if inner in SIZES:
            return self.taken(count * SIZES[inner])
        return [self.value(inner) for _ in range(count)]


def control_tokens(path: Path) -> list[str]:
    """Return how a model's control tokens are spelled. Raises `ValueError` for what is no GGUF. Blocks."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = Reader(data)
        if reader.taken(4) != MAGIC:
            raise ValueError(NO_GGUF)
        _, _, count = reader.unpacked("<IQQ")
        found: dict[str, Any] = {}
        while count and len(found) < 2:
            name, kind = reader.text().decode("utf-8", "replace"), reader.unpacked("<I")[0]
            value = reader.value(kind)
            if name in {TOKENS, TYPES}:
                found[name] = value
            count -= 1
    kinds = array("i", found.get(TYPES, b""))
    pairs = zip(found.get(TOKENS, ()), kinds, strict=False)
    return [token.decode("utf-8", "replace") for token, kind in pairs if kind == CONTROL and token]


class Spelling:
    """Spells control tokens so that they are read as the letters that they are."""

    def __init__(self, tokens: Iterable[str]) -> None:
        # The longest first: one may begin another.
        ordered = sorted({token for token in tokens if len(token.strip()) > 1}, key=len, reverse=True)
        self._found = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def harmless(self, value: Any) -> Any:
        """Return JSON in which no text spells a control token: a space comes after its first character."""
        if isinstance(value, str):
            return self._spelled(value)
        if isinstance(value, Mapping):
            return {self._spelled(name): self.harmless(each) for name, each in value.items()}
        if isinstance(value, Sequence):
            return [self.harmless(each) for each in value]
        return value

    def _spelled(self, text: str) -> str:
        found = self._found
        while found is not None and found.search(text):  # Once, but for a token within what another one becomes.
            text = found.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)
        return text
