"""Stored files over HTTP: whole or in part, and never as something that a browser would run."""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.errors import NotFound
from chatacter.chassis.streaming import opened
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset, Assets

RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
UNKNOWN: Final = "There is no such file."
# What users upload is served from our own origin: it must not act there.
HARMLESS: Final = {
    "content-security-policy": "default-src 'none'; sandbox",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-site",
}


async def download(assets: Assets, owner: Owner, asset: Asset, request: Request) -> Response:
    """Answer with an asset's bytes. One range is honoured; several are answered whole. Source: RFC 9110, section 14."""
    tag = f'"{asset.sha256}"'
    headers = {**HARMLESS, "accept-ranges": "bytes", "etag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    span = asked_span(request, asset, tag)
    if span is None:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{asset.size}"})
    start, stop = span
    headers["content-length"] = str(stop - start)
    whole = (start, stop) == (0, asset.size)
    if not whole:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{asset.size}"
    response = await opened(assets.read(owner, asset.id, start, stop), asset.media_type, headers)
    response.headers["cache-control"] = "private, max-age=3600"
    response.status_code = 200 if whole else 206
    return response


def asked_span(request: Request, asset: Asset, tag: str) -> tuple[int, int] | None:
    """Return which bytes are asked for, from and up to; None when they are beyond the end."""
    everything = (0, asset.size)
    found = RANGE.fullmatch(request.headers.get("range", "").strip())
    if found is None or request.headers.get("if-range", tag) != tag:
        return everything
    first, last = found.groups()
    if not first and not last:
        return everything
    if not first:
        length = min(int(last), asset.size)
        return (asset.size - length, asset.size) if length else None
    start, stop = int(first), min(int(last) + 1, asset.size) if last else asset.size
    return (start, stop) if start < stop else None


async def found(assets: Assets, owner: Owner, asset_id: str) -> Asset:
    """Return a tenant's asset. Raises `NotFound`."""
    asset = await assets.info(owner, asset_id)
    if asset is None:
        raise NotFound(UNKNOWN, param="id")
    return asset
