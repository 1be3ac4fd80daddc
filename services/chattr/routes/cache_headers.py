"""The response cache in HTTP's words: what a request says of it (RFC 9111), what an answer tells (RFC 9211)."""

from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import Request

from chattr.usecases.caching import CacheStatus, CacheUse

CACHE_NAME: Final = "Chatacter"
STATUS_HEADER: Final = "cache-status"


def cache_use(request: Request) -> CacheUse:
    """Read `Cache-Control`: `no-store` wins over `no-cache`, of which `max-age=0` is another name."""
    given = ",".join(request.headers.getlist("cache-control")).lower()
    directives = {each.strip() for each in given.split(",")}
    if "no-store" in directives:
        return "never"
    return "renew" if directives & {"no-cache", "max-age=0"} else "use"


def cache_headers(status: CacheStatus | None) -> dict[str, str]:
    """Write `Cache-Status`; nothing where no cache is."""
    if status is None:
        return {}
    said = f"fwd={status.forwarded}" if status.forwarded else f"hit; ttl={status.ttl}"
    return {STATUS_HEADER: f"{CACHE_NAME}; {said}" + ('; detail="away"' if status.away else "")}


CacheUseDep = Annotated[CacheUse, Depends(cache_use)]
