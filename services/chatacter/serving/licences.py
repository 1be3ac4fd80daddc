"""Licences of weights. One that limits what may be done with them has to be accepted by name before they are loaded."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import Misconfigured

SETTING: Final = "ACCEPT_MODEL_LICENSES"


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence of weights, by its SPDX identifier, or by a short name of its own where SPDX has none.

    `restriction` ends the sentence "This licence …", e.g. "forbids commercial use"; None where anybody may use the
    weights for anything.
    """

    id: str
    restriction: str | None = None
    url: str | None = None


APACHE: Final = Licence("Apache-2.0", url="https://www.apache.org/licenses/LICENSE-2.0")
MIT: Final = Licence("MIT", url="https://opensource.org/license/mit")


def require_accepted(model: str, licence: Licence | None, accepted: Collection[str]) -> None:
    """Raise `Misconfigured` for weights whose licence is restricted and not among the accepted ones."""
    if licence is None or licence.restriction is None:
        return
    if licence.id.casefold() in {name.casefold() for name in accepted}:
        return
    read = f" ({licence.url})" if licence.url else ""
    raise Misconfigured(
        f"The weights of {model} are under the licence {licence.id}, which {licence.restriction}: read it{read}, and "
        f"if you accept it, add it to the setting, {SETTING}={licence.id}."
    )
