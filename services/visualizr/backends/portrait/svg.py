"""Reading a layered portrait. The SVG comes from anybody: only what is listed here gets through, rewritten by us.

Nothing that loads, runs, repeats or writes text is on the list: no images, fonts, links, styles, scripts, animation,
`use`, masks and patterns (they can nest or repeat themselves without end). Sizes and counts are bounded before
anything is drawn.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, ParseError, SubElement, tostring

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from chatacter.chassis.errors import InvalidInput, TooLarge
from visualizr.backends.portrait.rig import Rig, read_rig

SVG: Final = "{http://www.w3.org/2000/svg}"
PARAM: Final = "image_reference"
MAX_BYTES: Final = 512 * 1024
MAX_ELEMENTS: Final = 1500
MAX_DEPTH: Final = 12
MAX_VALUE: Final = 64 * 1024
MAX_BLURRED: Final = 48
# Elements that are drawn on a sheet of their own first: blurred, clipped, or see-through as a whole.
MAX_APART: Final = 128
MAX_BLUR: Final = 64.0

# Painted in this order. `eyelids` shows only in a blink, `mouth` only where the portrait is a still picture.
LAYERS: Final = (
    "background",
    "hair-back",
    "body",
    "head",
    "eyes",
    "pupils",
    "lashes",
    "eyelids",
    "mouth",
    "brows",
    "front",
)
REQUIRED: Final = ("background", "body", "head", "eyes", "eyelids", "mouth")

SHAPES: Final = frozenset({"path", "circle", "ellipse", "rect", "line", "polyline", "polygon"})
PAINTS: Final = frozenset({"linearGradient", "radialGradient", "stop", "clipPath", "filter", "feGaussianBlur"})
ELEMENTS: Final = SHAPES | PAINTS | {"svg", "g", "defs", "title", "desc"}
# Told by name when they are refused; other names are not repeated.
KNOWN_REFUSED: Final = frozenset(
    {
        "animate",
        "a",
        "feImage",
        "foreignObject",
        "image",
        "mask",
        "pattern",
        "script",
        "style",
        "switch",
        "symbol",
        "text",
        "use",
    }
)
GEOMETRY: Final = frozenset(
    {"d", "points", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "transform"}
)
PAINTING: Final = frozenset(
    {"display", "fill", "fill-opacity", "fill-rule", "stroke", "stroke-opacity", "stroke-width", "stroke-linecap"}
    | {"stroke-linejoin", "stroke-miterlimit", "opacity", "clip-path", "clip-rule", "filter"}
)
DEFINING: Final = frozenset(
    {"id", "fx", "fy", "offset", "stop-color", "stop-opacity", "stdDeviation", "in", "result", "gradientUnits"}
    | {"gradientTransform", "spreadMethod", "clipPathUnits", "filterUnits", "primitiveUnits"}
    | {"color-interpolation-filters"}
)
ATTRIBUTES: Final = GEOMETRY | PAINTING | DEFINING
POINTING: Final = frozenset({"fill", "stroke", "clip-path", "filter"})
LOCAL: Final = re.compile(r"url\(#[A-Za-z][\w.-]*\)")
NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Artwork:
    """A portrait that may be drawn: its coordinate system, its rig and the SVG text of each layer's group."""

    view: tuple[float, float, float, float]
    rig: Rig
    layers: Mapping[str, str]
    defs: str

    def document(self, layer: str, view: tuple[float, float, float, float], width: int, height: int) -> str:
        """Write an SVG of one layer alone; `view` is the part of the drawing that fills width x height pixels."""
        box = " ".join(f"{value:.4f}" for value in view)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{width}" height="{height}" '
            f'preserveAspectRatio="none">{self.defs}{self.layers[layer]}</svg>'
        )


def read_artwork(data: bytes) -> Artwork:
    """Read an untrusted SVG. Raises `TooLarge` or `InvalidInput` with a sentence that says what to change."""
    if len(data) > MAX_BYTES:
        raise TooLarge(f"A layered portrait may have {MAX_BYTES // 1024} KiB.", param=PARAM)
    root = parsed(data)
    if root.tag != SVG + "svg":
        raise InvalidInput("A layered portrait is an SVG document.", param=PARAM)
    check_size(root)
    view = view_of(root)
    rig = read_rig(root.attrib, view)
    clean = cleaned(root)
    flatten(clean)
    layers = layers_of(clean)
    defs = "".join(tostring(child, encoding="unicode") for child in clean if child.tag == "defs")
    return Artwork(view=view, rig=rig, layers=layers, defs=defs)


def parsed(data: bytes) -> Element:
    """Parse without entities, external or internal, and without a DTD."""
    try:
        root: Element = fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise InvalidInput("A layered portrait may have no DTD and no entities.", param=PARAM) from error
    except (ParseError, ValueError, LookupError) as error:  # not XML; an impossible or an unknown encoding
        raise InvalidInput("The layered portrait is not well-formed XML.", param=PARAM) from error
    return root


def check_size(root: Element) -> None:
    """Bound what drawing can cost. Raises `TooLarge`."""
    blurred = 0
    for count, (element, depth) in enumerate(walked(root), start=1):
        if count > MAX_ELEMENTS:
            raise TooLarge(f"A layered portrait may have {MAX_ELEMENTS} elements.", param=PARAM)
        if depth > MAX_DEPTH:
            raise TooLarge(f"A layered portrait's groups may be nested {MAX_DEPTH} deep.", param=PARAM)
        if any(len(value) > MAX_VALUE for value in element.attrib.values()):
            raise TooLarge(f"An attribute of a layered portrait may have {MAX_VALUE} characters.", param=PARAM)
        blurred += "filter" in element.attrib
        if element.tag == f"{SVG}clipPath" and any("clip-path" in inner.attrib for inner in element.iter()):
            raise InvalidInput("A layered portrait's clip paths may not be clipped themselves.", param=PARAM)
    if blurred > MAX_BLURRED:
        raise TooLarge(f"A layered portrait may blur {MAX_BLURRED} elements.", param=PARAM)


def walked(root: Element) -> Iterator[tuple[Element, int]]:
    """Walk the tree without recursion; depth counts from 0 at the root."""
    waiting = [(root, 0)]
    while waiting:
        element, depth = waiting.pop()
        yield element, depth
        waiting.extend((child, depth + 1) for child in element)


def view_of(root: Element) -> tuple[float, float, float, float]:
    """Read `viewBox`. Raises `InvalidInput` unless it is a rectangle of a usable size."""
    numbers = [float(text) for text in NUMBER.findall(root.get("viewBox", ""))]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise InvalidInput("A layered portrait's root needs a viewBox of four numbers.", param=PARAM)
    x, y, width, height = numbers
    if not (
        16 <= width <= 8192 and 16 <= height <= 8192 and 0.5 <= width / height <= 2 and max(abs(x), abs(y)) <= 8192
    ):
        raise InvalidInput("A layered portrait's viewBox is 16 to 8192 wide and high, at most 2:1.", param=PARAM)
    return x, y, width, height


def cleaned(root: Element) -> Element:
    """Rebuild the tree from listed elements and attributes only. Raises `InvalidInput` for other elements."""
    clean = Element("svg")
    waiting = [(root, clean)]
    while waiting:
        source, copy = waiting.pop()
        for child in source:
            name = child.tag.removeprefix(SVG)
            if name not in ELEMENTS or name == "svg":
                told = f"<{name}>" if name in KNOWN_REFUSED else "an element that is not listed in docs/portraits.md"
                raise InvalidInput(f"A layered portrait may not contain {told}.", param=PARAM)
            if name in {"title", "desc"}:
                continue
            waiting.append((child, SubElement(copy, name, allowed(child.attrib))))
    return clean


def flatten(clean: Element) -> None:
    """Let see-through shapes be drawn directly where that looks the same, in place. Raises `TooLarge` for the others.

    An element with `opacity` is drawn on a sheet of its own, as large as what it covers; a shape that has either a fill
    or a stroke, and not both, looks the same with `fill-opacity` or `stroke-opacity`.
    """
    inherited = any(group.attrib.keys() & {"fill", "stroke"} for group in clean.iter("g"))
    apart = 0
    for element in clean.iter():
        if element.tag in SHAPES and "opacity" in element.attrib and not inherited:
            filled, stroked = element.get("fill") != "none", element.get("stroke", "none") != "none"
            paint = "stroke-opacity" if stroked else "fill-opacity"
            if filled != stroked and paint not in element.attrib:
                element.attrib[paint] = element.attrib.pop("opacity")
        apart += bool(element.attrib.keys() & {"opacity", "filter", "clip-path"})
    if apart > MAX_APART:
        raise TooLarge(
            f"A layered portrait may have {MAX_APART} elements that are blurred, clipped or see-through as a whole.",
            param=PARAM,
        )


def allowed(attributes: Mapping[str, str]) -> dict[str, str]:
    """Keep the listed attributes. Raises `InvalidInput` for any reference but one to an id of the same document."""
    kept = {}
    for name, value in attributes.items():
        if "href" in name or name == "style":
            raise InvalidInput("A layered portrait may not use href or style; write plain attributes.", param=PARAM)
        if name not in ATTRIBUTES:
            continue
        if "url(" in value.lower() and not (name in POINTING and LOCAL.fullmatch(value.strip())):
            raise InvalidInput(
                "A layered portrait may refer only to its own gradients, clips and filters.", param=PARAM
            )
        if name == "stdDeviation":
            check_blur(value)
        kept[name] = value
    return kept


def check_blur(value: str) -> None:
    """Refuse blurs that would take long. Raises `InvalidInput`."""
    try:
        wide = max(float(part) for part in value.replace(",", " ").split())
    except ValueError:
        wide = math.inf
    if not wide <= MAX_BLUR:
        raise InvalidInput(f"A layered portrait's blurs may have a stdDeviation of {MAX_BLUR:g}.", param=PARAM)


def layers_of(clean: Element) -> dict[str, str]:
    """Write each known top-level group as text. Raises `InvalidInput` when a required one is missing."""
    layers = {}
    for child in clean:
        name = child.get("id", "")
        if child.tag == "g" and name in LAYERS:
            child.attrib.pop("display", None)  # eyelids are hidden in the still picture
            layers[name] = tostring(child, encoding="unicode")
    missing = [name for name in REQUIRED if name not in layers]
    if missing:
        raise InvalidInput(f"A layered portrait needs top-level groups with ids: {', '.join(missing)}.", param=PARAM)
    return layers
