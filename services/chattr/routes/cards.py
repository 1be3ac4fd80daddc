"""Character cards in and out."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chattr.dependencies import ActorsDep, CardsDep, OwnerDep
from chattr.domain.card.model import Form
from chattr.domain.character import CharacterRead
from chattr.routes.download import HARMLESS
from chattr.routes.etags import etag
from chattr.routes.idempotency import IdempotentRoute
from chattr.routes.upload import Upload

CARD_TYPES: Final = (
    *("application/json", "image/png", "image/apng", "image/vnd.mozilla.apng", "image/jpeg"),
    *("application/zip", "application/x-zip-compressed", "application/x-charx", "application/octet-stream"),
)
CARD: Final = Upload("a card", CARD_TYPES)


class CharacterImported(CharacterRead):
    """A character that was made of a card."""

    warnings: list[str]
    """What of the card has no effect, was cut or was left out."""


router = APIRouter(
    prefix="/api/v1/characters",
    tags=["Characters"],
    dependencies=[Depends(scope("characters"))],
    route_class=IdempotentRoute,
)


class Placing(BaseModel):
    """What a card does not decide."""

    id: Annotated[str, Field(max_length=64)] | None = None
    """The character's id here."""
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """What it speaks with, whatever the card names."""
    speech_model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The model that `voice` belongs to, whatever the card names."""


@router.post("/import", status_code=201, openapi_extra=CARD.body())
async def import_card(
    request: Request,
    owner: OwnerDep,
    actors: ActorsDep,
    cards: CardsDep,
    response: Response,
    placing: Annotated[Placing, Query()],
) -> CharacterImported:
    """Create a character from a Character Card: V1, V2 or V3, as JSON, PNG, APNG or CHARX."""
    placed = placing.model_dump(exclude={"id"}, exclude_none=True)
    imported = await cards.take(owner, await CARD.of(request), placing.id, placed)
    read = await actors.shown(owner, imported.known)
    response.headers["location"] = f"/api/v1/characters/{read.id}"
    response.headers["etag"] = etag(read.model_dump_json().encode())
    return CharacterImported(warnings=imported.warnings, **read.model_dump())


@router.get(
    "/{character_id}/export",
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "image/png": {}, "application/zip": {}}}},
)
async def export_card(
    character_id: str,
    owner: OwnerDep,
    cards: CardsDep,
    form: Annotated[Form, Query(alias="format")] = "json",
    spec: Literal["v2", "v3"] | None = None,
) -> Response:
    """Return a character as a Character Card; all that an imported card held is in it again."""
    card = await cards.give(owner, character_id, form, v3=None if spec is None else spec == "v3")
    headers = {"content-disposition": f'attachment; filename="{card.name}"', "cache-control": "no-store", **HARMLESS}
    return Response(card.data, media_type=card.media_type, headers=headers)
