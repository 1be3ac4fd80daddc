"""A layered portrait comes from anybody: only what is listed gets through, and nothing grows without bound."""

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatacter.chassis.errors import InvalidInput, TooLarge
from tests.film_material import LAYERED, PORTRAITS, layered, tone
from visualizr.backends.portrait.layered import LayeredStage, rasterised
from visualizr.backends.portrait.stage import rehearse
from visualizr.backends.portrait.svg import LAYERS, MAX_BYTES, read_artwork

pytestmark = pytest.mark.unit

BUILT_IN = sorted(PORTRAITS.glob("*.svg"))


def refused(svg: bytes) -> str:
    """What the refusal says."""
    with pytest.raises(InvalidInput) as caught:
        read_artwork(svg)
    assert caught.value.param == "image_reference"
    return caught.value.message


def test_the_smallest_portrait() -> None:
    artwork = read_artwork(layered())
    assert artwork.view == (0, 0, 200, 200)
    assert (artwork.rig.mouth.x, artwork.rig.mouth.y, artwork.rig.mouth.width) == (100, 140, 40)
    assert set(artwork.layers) == {"background", "body", "head", "eyes", "pupils", "eyelids", "mouth"}
    assert "radialGradient" in artwork.defs
    assert "display" not in artwork.layers["eyelids"]


@pytest.mark.parametrize("portrait", BUILT_IN, ids=lambda path: path.stem)
def test_our_own_portraits_keep_the_conventions(portrait: Path) -> None:
    artwork = read_artwork(portrait.read_bytes())
    assert set(artwork.layers) >= {
        "background",
        "body",
        "head",
        "eyes",
        "pupils",
        "lashes",
        "eyelids",
        "mouth",
        "brows",
    }
    layers = rasterised(artwork, 64, 64, threading.Event())
    assert layers["background"][..., 3].min() == 255


def test_there_are_four() -> None:
    assert [path.stem for path in BUILT_IN] == ["ada", "iris", "leonardo", "mira"]


@pytest.mark.parametrize(
    "intruder",
    [
        "<script>alert(1)</script>",
        '<image href="file:///etc/passwd" width="9" height="9"/>',
        '<use href="#head"/>',
        "<foreignObject><p>hello</p></foreignObject>",
        "<style>rect{fill:url(http://evil.example/)}</style>",
        "<text>hello</text>",
        '<animate attributeName="x"/>',
        '<a href="javascript:alert(1)"><rect/></a>',
        "<filter><feImage href='http://evil.example/'/></filter>",
        "<pattern id='p'/>",
        "<mask id='m'/>",
        "<switch/>",
        "<blink/>",
        "<svg:rect xmlns:svg='http://elsewhere.example'/>",
        "<svg/>",
    ],
)
def test_elements_that_are_not_listed(intruder: str) -> None:
    assert "may not contain" in refused(layered(intruder))


def test_a_refusal_never_repeats_what_was_sent() -> None:
    assert "quite-private" not in refused(layered("<quite-private/>"))
    assert "<script>" in refused(layered("<script/>"))


@pytest.mark.parametrize(
    "attribute",
    [
        'fill="url(http://evil.example/#x)"',
        'fill="URL( #x )"',
        "fill=\"url('#x')\"",
        'filter="url(#a) url(#b)"',
        'clip-path="url(file:///etc/passwd)"',
        'stroke="url(#a"',
        'd="url(#a)"',
        'style="fill:red"',
        'href="#head"',
        'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="#head"',
    ],
)
def test_references_that_leave_the_document(attribute: str) -> None:
    refused(layered(f"<rect {attribute}/>"))


def test_attributes_that_are_not_listed_are_dropped() -> None:
    artwork = read_artwork(
        layered('<rect onclick="alert(1)" class="x" data-x="y" stroke-dasharray="0.0001" fill="#fff"/>')
    )
    for gone in ("onclick", "alert", "class", "data-x", "dasharray"):
        assert gone not in artwork.layers["head"]


def test_comments_and_processing_instructions_are_dropped() -> None:
    artwork = read_artwork(layered("<!-- a comment --><?php echo 1 ?>"))
    assert "comment" not in artwork.layers["head"]
    assert "php" not in artwork.layers["head"]


@pytest.mark.parametrize(
    "svg",
    [
        b'<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + layered(),
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + layered("<desc>&x;</desc>"),
        b'<!DOCTYPE svg SYSTEM "http://evil.example/a.dtd">' + layered(),
        b"",
        b"\x00\x01\x02",
        b"<svg",
        b"<html/>",
        b"<svg/>",
        b'<?xml version="1.0" encoding="no-such"?><svg/>',
        b"\xff\xfe<\x00s\x00",
    ],
)
def test_what_is_no_portrait(svg: bytes) -> None:
    refused(svg)


@pytest.mark.parametrize("group", ["background", "body", "head", "eyes", "eyelids", "mouth"])
def test_a_missing_layer_is_named(group: str) -> None:
    assert group in refused(layered(**{f'id="{group}"': 'id="other"'}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('data-mouth-x="100"', ""),
        ('data-mouth-x="100"', 'data-mouth-x="nan"'),
        ('data-mouth-x="100"', 'data-mouth-x="1e9"'),
        ('data-mouth-width="40"', 'data-mouth-width="-1"'),
        ('data-mouth-width="40"', 'data-mouth-width="wide"'),
        ('data-mouth-open="20"', 'data-mouth-open="1000"'),
        ('data-mouth-open="20"', 'data-mouth-line-color="red"'),
        ('viewBox="0 0 200 200"', 'viewBox="0 0 200"'),
        ('viewBox="0 0 200 200"', 'viewBox="0 0 0 0"'),
        ('viewBox="0 0 200 200"', 'viewBox="0 0 1e308 1e308"'),
        ('viewBox="0 0 200 200"', 'viewBox="0 0 2000 20"'),
        ('viewBox="0 0 200 200"', ""),
    ],
)
def test_a_rig_out_of_range(old: str, new: str) -> None:
    refused(layered(**{old: new}))


@pytest.mark.parametrize(
    "svg",
    [
        layered("<rect/>" * 2600),
        layered("<g>" * 13 + "</g>" * 13),
        layered('<rect d="' + "M0 0" * 20_000 + '"/>'),
        layered('<rect filter="url(#f)"/>' * 49),
        layered('<rect clip-path="url(#f)"/>' * 129),
        layered('<g opacity=".5"/>' * 129),
        layered('<rect fill="#fff" stroke="#000" opacity=".5"/>' * 129),
        layered("x" * MAX_BYTES),
    ],
    ids=["elements", "depth", "value", "blurs", "clips", "groups", "outlined", "bytes"],
)
def test_too_much(svg: bytes) -> None:
    with pytest.raises(TooLarge):
        read_artwork(svg)


def test_see_through_shapes_are_drawn_directly_and_look_the_same() -> None:
    seen = layered(
        '<rect width="90" height="90" fill="#fff" opacity=".5"/>'
        '<path d="M0 0L99 99" fill="none" stroke="#f00" opacity=".3"/>'
    )
    artwork = read_artwork(seen)
    assert 'fill-opacity=".5"' in artwork.layers["head"]
    assert 'stroke-opacity=".3"' in artwork.layers["head"]
    apart = read_artwork(seen.replace(b'<g id="head">', b'<g id="head" fill="#fff">'))
    assert 'fill-opacity=".5"' not in apart.layers["head"]
    first, second = (rasterised(found, 64, 64, threading.Event())["head"].astype(int) for found in (artwork, apart))
    assert np.abs(first - second).max() <= 2


def test_blurs_and_nested_clips_are_bounded() -> None:
    assert "stdDeviation" in refused(layered('<filter id="f"><feGaussianBlur stdDeviation="1000"/></filter>'))
    assert "stdDeviation" in refused(layered('<filter id="f"><feGaussianBlur stdDeviation="nan"/></filter>'))
    assert "clip" in refused(layered('<clipPath id="a"><rect clip-path="url(#b)"/></clipPath>'))


def test_references_in_circles_are_drawn_in_no_time() -> None:
    svg = layered(
        '<filter id="f" filter="url(#f)"><feGaussianBlur/></filter><g filter="url(#f)"><rect fill="url(#f)"/></g>'
    )
    rasterised(read_artwork(svg), 64, 64, threading.Event())


def test_the_worst_that_is_allowed_is_drawn_in_bounded_time() -> None:
    blurred = '<rect width="200" height="200" fill="#fff" opacity=".1" filter="url(#f)"/>' * 48
    filters = '<filter id="f"><feGaussianBlur stdDeviation="64"/></filter>'
    began = time.thread_time()
    rasterised(read_artwork(layered(filters + blurred)), 256, 256, threading.Event())
    assert time.thread_time() - began < 10


NAMES = st.sampled_from(
    [
        "g",
        "rect",
        "path",
        "circle",
        "filter",
        "feGaussianBlur",
        "clipPath",
        "linearGradient",
        "stop",
        "use",
        "image",
        "q",
    ]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["fill", "d", "x", "width", "height", "r", "transform", "filter", "clip-path", "opacity", "id", "viewBox"]
    ),
    st.one_of(
        st.sampled_from(
            ["url(#f)", "#fff", "1e309", "-1", "NaN", "rotate(1e30)", "M0 0L1e38 1e38Z", "head", "matrix(0 0 0 0 0 0)"]
        ),
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters='<&"\r\n\t'), max_size=20),
    ),
    max_size=5,
)


def element(name: str, attributes: dict[str, str], children: list[str]) -> str:
    written = " ".join(f'{key}="{value}"' for key, value in attributes.items())
    return f"<{name} {written}>{''.join(children)}</{name}>"


TREES = st.recursive(
    st.builds(element, NAMES, ATTRIBUTES, st.just([])),
    lambda inner: st.builds(element, NAMES, ATTRIBUTES, st.lists(inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_whatever_is_sent_is_drawn_or_refused(tree: str) -> None:
    try:
        artwork = read_artwork(layered(tree))
        layers = rasterised(artwork, 64, 64, threading.Event())
        stage = LayeredStage(artwork, layers)
    except InvalidInput:
        return
    frame = stage.frame(rehearse(tone(0.1), (), 10, 0), 0)
    assert frame.shape == (64, 64, 4)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, len(LAYERED)))
def test_damaged_bytes_are_read_or_refused(damage: bytes, at: int) -> None:
    whole = LAYERED.encode()
    with contextlib.suppress(InvalidInput):
        read_artwork(whole[:at] + damage + whole[at:])


def test_every_layer_has_a_place() -> None:
    assert len(set(LAYERS)) == len(LAYERS)
