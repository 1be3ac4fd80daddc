"""Whose data a request may touch: that of the caller's tenant, or of the tenant that a service inside names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import HTTPConnection

from chatacter.chassis.auth import Caller, Principal
from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.whose import CALLER_HEADER, TENANT_HEADER

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
BAD_NAME: Final = f"{TENANT_HEADER} and {CALLER_HEADER} are 1 to 64 letters, digits, `_`, `.` or `-`."


@dataclass(frozen=True, slots=True)
class Whose:
    """A tenant, and the API key by which it is asked."""

    tenant: str
    key: str


async def whose(caller: Caller, connection: HTTPConnection) -> Whose:
    """Say whose data a request over HTTP may touch."""
    return whose_of(caller, connection.headers)


def whose_of(caller: Principal, headers: Mapping[str, str]) -> Whose:
    """Say whose data a request may touch. The headers count only from a key with the scope `inside`, as Chattr's."""
    named = {name: headers.get(name) for name in (TENANT_HEADER, CALLER_HEADER)}
    if "inside" not in caller.scopes or named[TENANT_HEADER] is None:
        return Whose(caller.tenant, caller.key_id)
    tenant, key = named[TENANT_HEADER], named[CALLER_HEADER] or caller.key_id
    if tenant is None or not NAME.fullmatch(tenant) or not NAME.fullmatch(key):
        raise InvalidInput(BAD_NAME)
    return Whose(tenant, key)


WhoseDep = Annotated[Whose, Depends(whose)]
