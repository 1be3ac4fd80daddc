"""How much a card may be. Everything that reads one takes these; nothing is allocated beyond them."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that is read of one card. What is over is refused before it is unpacked."""

    file_bytes: int = 32 * MIB
    """Of the file as it comes."""
    json_bytes: int = 8 * MIB
    """Of the card's JSON, after base64 and inflation."""
    json_depth: int = 64
    """Objects and arrays within each other."""
    json_values: int = 200_000
    """Values in all, which bounds the memory that they take."""
    number_chars: int = 256
    """Digits, point and exponent of one number."""
    unpacked_bytes: int = 64 * MIB
    """Of all files of a card together, unpacked."""
    entries: int = 2_000
    """Files in a CHARX, and embedded assets in a picture."""
    chunks: int = 50_000
    """Chunks of a PNG."""
    path_bytes: int = 255
    """Of one path in a CHARX."""


LIMITS = Limits()
