"""Conditional requests: strong entity tags and their preconditions. Source: RFC 9110, sections 8.8.3 and 13."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header
from starlette.responses import Response

from chatacter.chassis.errors import Stale

ENTITY_TAG: Final = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# Whoever holds a representation asks whether it still holds, each time; others' caches keep none.
REVALIDATED: Final = {"cache-control": "private, no-cache"}

CHANGED: Final = "It has changed since you read it, or is gone: read it again, and send the new ETag in If-Match."
THERE_ALREADY: Final = "There is one already (If-None-Match)."


def etag(body: bytes) -> str:
    """Return the strong entity tag of a representation: other bytes, another tag."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request says about the representation that it was made for."""

    if_match: str | None = None
    if_none_match: str | None = None

    @property
    def any(self) -> bool:
        """Whether it says something."""
        return self.if_match is not None or self.if_none_match is not None

    def require(self, tag: str | None) -> None:
        """Let a change pass. `tag`: of what there is, None for nothing. Raises `Stale`."""
        if self.if_match is not None and not named(self.if_match, tag, weakly=False):
            raise Stale(CHANGED, param="If-Match")
        if self.if_none_match is not None and named(self.if_none_match, tag, weakly=True):
            raise Stale(THERE_ALREADY, param="If-None-Match")

    def answer(self, body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
        """Answer a GET: 304 for a representation that the asker holds, else the whole of it. Raises `Stale`."""
        tag = etag(body)
        if self.if_match is not None and not named(self.if_match, tag, weakly=False):
            raise Stale(CHANGED, param="If-Match")
        sent = {"etag": tag, **REVALIDATED, **(headers or {})}
        if self.if_none_match is not None and named(self.if_none_match, tag, weakly=True):
            return Response(status_code=304, headers=sent)
        return Response(body, media_type=media_type, headers=sent)


def named(field: str, tag: str | None, *, weakly: bool) -> bool:
    """Whether a field names what there is; `*` names whatever there is. Weakly: a weak tag does too."""
    if tag is None:
        return False
    found = ENTITY_TAG.findall(field)
    return field.strip() == "*" or any(one == tag and (weakly or not weak) for weak, one in found)


def conditions(
    if_match: Annotated[str | None, Header(description="Change only what still has one of these ETags")] = None,
    if_none_match: Annotated[str | None, Header(description="Unless it has one of these ETags; `*`: is there")] = None,
) -> Conditions:
    """Read a request's preconditions."""
    return Conditions(if_match, if_none_match)


ConditionsDep = Annotated[Conditions, Depends(conditions)]
