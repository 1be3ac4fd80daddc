"""Addresses of stored files that open without a key, for a while: for a player, a mail, a page of somebody else's.

Whoever has one may read that one file until it runs out. It is signed with a secret that all replicas share.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import NotFound, Unauthenticated
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset, Assets
from chattr.ports.duty import Secret

WRONG: Final = "This address is not one of ours, or was changed."
OVER: Final = "This address has run out. Ask for a new one."
UNKNOWN: Final = "There is no such file."


@dataclass(frozen=True, slots=True)
class Pass:
    """What an address says: whose file, which, until when (seconds since 1970), and our signature under it."""

    tenant: str
    asset_id: str
    expires: int
    signature: str


class Signing:
    """Makes such addresses and checks them."""

    def __init__(self, assets: Assets, secret: Secret, clock: Callable[[], float] = time.time) -> None:
        self._assets = assets
        self._secret = secret
        self._clock = clock

    async def issue(self, owner: Owner, asset_id: str, seconds: int) -> Pass:
        """Let anyone read a file for so long. Raises `NotFound`."""
        if await self._assets.info(owner.shared, asset_id) is None:
            raise NotFound(UNKNOWN, param="id")
        expires = int(self._clock()) + seconds
        return Pass(owner.tenant, asset_id, expires, await self._sign(owner.tenant, asset_id, expires))

    async def open(self, shown: Pass) -> tuple[Owner, Asset]:
        """Return the file that an address stands for. Raises `Unauthenticated`, `NotFound`."""
        wanted = await self._sign(shown.tenant, shown.asset_id, shown.expires)
        if not hmac.compare_digest(wanted.encode(), shown.signature.encode()):
            raise Unauthenticated(WRONG)
        if shown.expires < self._clock():
            raise Unauthenticated(OVER)
        owner = Owner(shown.tenant)
        asset = await self._assets.info(owner, shown.asset_id)
        if asset is None:
            raise NotFound(UNKNOWN, param="id")
        return owner, asset

    async def _sign(self, tenant: str, asset_id: str, expires: int) -> str:
        said = f"{tenant}\n{asset_id}\n{expires}"
        return hmac.new(await self._secret.value(), said.encode(), hashlib.sha256).hexdigest()
