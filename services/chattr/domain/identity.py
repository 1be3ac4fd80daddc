"""Whose it is. Everything stored belongs to a tenant and, where it concerns someone, to a person."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

EVERYONE: Final = "-"
PERSON: Final = re.compile(rf"^(?!{EVERYONE}$)[A-Za-z0-9_.@-]{{1,128}}$")


@dataclass(frozen=True, slots=True)
class Owner:
    """A person within a tenant. `EVERYONE` as person: it belongs to the tenant as a whole."""

    tenant: str
    person: str = EVERYONE

    @property
    def shared(self) -> "Owner":
        """The same tenant without the person: where its characters and jobs live."""
        return Owner(self.tenant)


def new_id(prefix: str) -> str:
    """Make an unguessable id, `prefix_` and 128 random bits in hex."""
    return f"{prefix}_{uuid4().hex}"
