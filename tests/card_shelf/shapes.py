"""What cards hold: books, assets, numbers, and cards with fields taken away or put beside."""

from typing import Any

from tests.card_material import ENTRY, v1
from tests.card_shelf.row import n

ST_LORE = {
    "id": 0,
    "keys": ["orchard", "old trees"],
    "secondary_keys": [],
    "comment": "",
    "content": "{{user}}: Whose trees are these?\n{{char}}: *wipes the spade* Their own.",
    "constant": False,
    "selective": False,
    "insertion_order": 100,
    "enabled": True,
    "position": "before_char",
    "extensions": {"position": 0, "probability": None, "useProbability": False},
}
FULL_LORE = {
    "name": "Garden",
    "description": "What grows where.",
    "scan_depth": 10,
    "token_budget": 1000,
    "recursive_scanning": True,
    "extensions": {"theme": {"leaf": "#2f4f2f"}},
    "entries": [
        {
            **ENTRY,
            "name": "plum",
            "priority": 3,
            "id": 1,
            "comment": "the oldest",
            "case_sensitive": False,
            "selective": True,
            "secondary_keys": ["tree", "stone"],
            "constant": False,
            "position": "after_char",
        },
        {**ENTRY, "keys": ["well"], "content": "The well is dry in August.", "enabled": False},
    ],
}
DECORATED = {
    "extensions": {},
    "entries": [
        {**ENTRY, "content": "@@depth 5\n@@ignore_on_max_context\n\nFrost is near.", "use_regex": False},
        {
            **ENTRY,
            "content": "@@wind_from north\n@@@instruct_depth 100\n@@@depth 5\n\nClose the gate.",
            "use_regex": True,
            "keys": ["/north(ern)?/i"],
        },
        {
            **ENTRY,
            "content": "@@role assistant\n@@additional_keys rain,hail\n@@dont_activate\nNote.",
            "use_regex": False,
        },
    ],
}
MAIN = {"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}
FACE = {**MAIN, "uri": "embeded://assets/icon/images/main.png"}
SMILE = {"type": "emotion", "uri": "embeded://assets/emotion/images/smile.webp", "name": "smile", "ext": "webp"}
NUMBERS = {
    "whole": n("1"),
    "point": n("1.0"),
    "zeros": n("1.500"),
    "power": n("1e3"),
    "large": n("1E+3"),
    "small": n("1e-7"),
    "minus": n("-0"),
    "minus point": n("-0.0"),
    "long": n("12345678901234567890123"),
    "fine": n("0.1000000000000000055511151231257827"),
    "as text": "1.0",
    "list": [n("2"), n("2.0"), "2"],
}
VISITOR = {"name": "Bram", "description": "A visitor whose card is the wrong one."}


def mirrored(card: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A card whose V1 fields stand beside `data`, too."""
    return {**{name: card["data"][name] for name in v1()}, **more, **card}


def without(card: dict[str, Any], *names: str) -> dict[str, Any]:
    """A card without some fields."""
    return {**card, "data": {name: value for name, value in card["data"].items() if name not in names}}


def bare(spec: str, **data: Any) -> dict[str, Any]:
    """A card with these fields alone."""
    return {"spec": f"chara_card_{spec}", "spec_version": f"{spec[1]}.0", "data": {"name": "Rowan", **data}}
