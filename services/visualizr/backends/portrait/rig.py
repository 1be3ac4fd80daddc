"""The rig of a layered portrait: what the renderer must know to move it, read from `data-` attributes of the root."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import InvalidInput

COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
PARAM: Final = "image_reference"

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class MouthRig:
    """Where the mouth is and how it looks. Lengths in units of the viewBox, colours as (blue, green, red).

    `x`, `y`: middle of the line between the closed lips. `width`: from corner to corner at rest. `upper_lip`,
    `lower_lip`: how thick the lips are. `smile`: how much higher the corners are than the middle. `open`: from lip to
    lip when wide open.
    """

    x: float
    y: float
    width: float
    upper_lip: float
    lower_lip: float
    smile: float
    open: float
    upper_colour: Colour
    lower_colour: Colour
    line_colour: Colour
    inside_colour: Colour
    teeth_colour: Colour
    tongue_colour: Colour


@dataclass(frozen=True, slots=True)
class Rig:
    """How a portrait moves: its mouth, the point around which the head turns, and where the chin ends."""

    mouth: MouthRig
    pivot_x: float
    pivot_y: float
    chin_y: float


def read_rig(attributes: Mapping[str, str], view: tuple[float, float, float, float]) -> Rig:
    """Read the rig; what is absent follows from the mouth's width. Raises `InvalidInput` naming the attribute."""
    x0, y0, wide, high = view

    def length(name: str, default: float | None, low: float, high: float) -> float:
        return number(attributes, f"data-{name}", default, low, high)

    x = length("mouth-x", None, x0, x0 + wide)
    y = length("mouth-y", None, y0, y0 + high)
    width = length("mouth-width", None, wide / 64, wide / 2)
    mouth = MouthRig(
        x=x,
        y=y,
        width=width,
        upper_lip=length("mouth-upper-lip", 0.10 * width, 0.0, width),
        lower_lip=length("mouth-lower-lip", 0.14 * width, 0.0, width),
        smile=length("mouth-smile", 0.06 * width, -width, width),
        open=length("mouth-open", 0.5 * width, 0.0, 1.5 * width),
        upper_colour=colour(attributes, "data-mouth-upper-color", (0x5E, 0x5A, 0xC0)),
        lower_colour=colour(attributes, "data-mouth-lower-color", (0x7A, 0x75, 0xD4)),
        line_colour=colour(attributes, "data-mouth-line-color", (0x35, 0x2B, 0x7D)),
        inside_colour=colour(attributes, "data-mouth-inside-color", (0x16, 0x0F, 0x3A)),
        teeth_colour=colour(attributes, "data-mouth-teeth-color", (0xE2, 0xEC, 0xF3)),
        tongue_colour=colour(attributes, "data-mouth-tongue-color", (0x5C, 0x54, 0xB0)),
    )
    return Rig(
        mouth=mouth,
        pivot_x=length("head-pivot-x", x, x0, x0 + wide),
        pivot_y=length("head-pivot-y", min(y + 1.2 * width, y0 + high), y0, y0 + 2 * high),
        chin_y=length("chin-y", min(y + 0.8 * width, y0 + high), y, y0 + high),
    )


def number(attributes: Mapping[str, str], name: str, default: float | None, low: float, high: float) -> float:
    """Read one number within bounds. Raises `InvalidInput` naming the attribute, never its value."""
    text = attributes.get(name)
    if text is None:
        if default is None:
            raise InvalidInput(f"A layered portrait's root needs {name}; see docs/portraits.md.", param=PARAM)
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InvalidInput(f"{name} must be a number from {low:g} to {high:g}.", param=PARAM)
    return value


def colour(attributes: Mapping[str, str], name: str, default: Colour) -> Colour:
    """Read `#rrggbb` as (blue, green, red). Raises `InvalidInput` naming the attribute."""
    text = attributes.get(name)
    if text is None:
        return default
    if not COLOUR.fullmatch(text):
        raise InvalidInput(f"{name} must be a colour written #rrggbb.", param=PARAM)
    return int(text[5:7], 16), int(text[3:5], 16), int(text[1:3], 16)
