"""Which scope a kind of work asks for, and with it the files of that work."""

from collections.abc import Mapping
from typing import Final

from chatacter.chassis.auth import Caller, Principal, Scope
from chatacter.chassis.errors import Forbidden
from chattr.ports.jobs import Modality
from chattr.usecases.job_files import modality_of_file

SCOPES: Final[Mapping[Modality, Scope]] = {"video": "videos", "speech": "speech"}
# Pictures of characters, and the cards that they came with.
OTHER_FILES: Final[Scope] = "characters"


def require_scope(caller: Principal, scope: Scope) -> None:
    """Raise `Forbidden` where a key lacks a scope."""
    if scope not in caller.scopes:
        raise Forbidden(f"This key lacks the scope `{scope}`.")


async def file_permitted(asset_id: str, caller: Caller) -> None:
    """Let only those at a stored file who may see what it belongs to. Raises `Forbidden`."""
    modality = modality_of_file(asset_id)
    require_scope(caller, SCOPES[modality] if modality else OTHER_FILES)
