"""JSON merge patch. Source: RFC 7396."""

from typing import Any, Final

from chatacter.chassis.errors import InvalidInput

DEEPEST: Final = 64
TOO_DEEP: Final = f"The patch is nested deeper than {DEEPEST} levels."


def merged(target: Any, patch: Any, *, depth: int = DEEPEST) -> Any:
    """Return what a patch makes of a document; neither is changed. Null takes a member away. Raises `InvalidInput`."""
    if depth == 0:
        raise InvalidInput(TOO_DEEP)
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value, depth=depth - 1)
    return result
