"""Who serves a model, in words for those who ask for it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError, DeadlineExceeded, NotFound, Unavailable
from chattr.ports.media import Listing, Models

LISTING_SECONDS: Final = 3.0


def waiting(error: ChatacterError) -> bool:
    """Whether a predictor may come yet: it is cold, loading, busy, or held back until a replica is there."""
    return isinstance(error, Unavailable | DeadlineExceeded)


async def require_served(behind: Models, kind: str, model: str) -> None:
    """Raise `NotFound`, with what there is, for a model that nobody serves; or what is wrong with its predictor.

    A model whose predictor may come yet passes, and so does any name while nobody knows what a predictor serves.
    """
    if behind.named(model):
        return
    listing = await behind.models(Deadline.after(LISTING_SECONDS))
    if model in listing.found:
        return
    error = listing.away.get(model) or listing.unknown
    if error is None:
        raise NotFound(f"There is no {kind} model {model!r}. {served([listing])}", param="model")
    if not waiting(error):
        raise error


def served(listings: Iterable[Listing[Any]]) -> str:
    """Say what is served, and what would be if its predictor answered."""
    listed = list(listings)
    here = ", ".join(sorted(str(each) for listing in listed for each in listing.found)) or "none"
    away = ", ".join(sorted(model for listing in listed for model in listing.away))
    return f"Served: {here}." + (f" Not answering now: {away}." if away else "")


def told(away: Mapping[str, ChatacterError]) -> dict[str, str]:
    """Say of each model that is away why it is."""
    return {model: error.message for model, error in sorted(away.items())}
