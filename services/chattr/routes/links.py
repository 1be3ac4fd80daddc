"""Addresses of stored files that open without a key until they run out."""

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from chatacter.contracts.base import Strict
from chattr.dependencies import AssetsDep, OwnerDep, SigningDep
from chattr.routes.download import download
from chattr.routes.kinds import file_permitted
from chattr.usecases.signing import Pass

given = APIRouter(prefix="/api/v1/media", tags=["Media"], dependencies=[Depends(file_permitted)])
# The signature is what lets a caller in here.
opened = APIRouter(prefix="/api/v1/media", tags=["Media"])

HOUR: Final = 3600
WEEK: Final = 7 * 24 * HOUR


class LinkOrder(Strict):
    """For how long an address is to open a file."""

    expires_in: Annotated[int, Field(ge=1, le=WEEK)] = HOUR


class Link(Strict):
    """An address that opens one file for anyone, relative to where this was asked for, until `expires_at`."""

    url: str
    expires_at: int


@given.post("/{asset_id}/link")
async def link(asset_id: str, owner: OwnerDep, signing: SigningDep, body: LinkOrder | None = None) -> Link:
    """Make an address of a stored file that needs no key, for an hour unless another time is asked for."""
    made = await signing.issue(owner, asset_id, (body or LinkOrder()).expires_in)
    said = urlencode({"tenant": made.tenant, "expires": made.expires, "signature": made.signature})
    return Link(url=f"/api/v1/media/{asset_id}/signed?{said}", expires_at=made.expires)


@opened.get("/{asset_id}/signed", response_class=Response)
async def signed(
    asset_id: str,
    request: Request,
    signing: SigningDep,
    assets: AssetsDep,
    *,
    tenant: str = "",
    expires: int = 0,
    signature: str = "",
) -> Response:
    """Return the file of such an address, whole or in part. 401 for one that was changed or has run out."""
    owner, asset = await signing.open(Pass(tenant, asset_id, expires, signature))
    return await download(assets, owner, asset, request)


router = APIRouter()
for part in (given, opened):
    router.include_router(part)
