"""A product's own door: it greets the caller by tenant, so it knows who called."""

from fastapi import APIRouter

from chatacter.chassis.auth import Caller

router = APIRouter(prefix="/api/v1/guestbook", tags=["Guestbook"])


@router.get("")
async def sign(caller: Caller) -> dict[str, str]:
    """Greet the caller."""
    return {"signed_by": caller.tenant}
