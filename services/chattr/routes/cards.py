"""Character cards in and out."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, Unsupported
from chattr.dependencies import ActorsDep, CardsDep, OwnerDep
from chattr.domain.card.model import Form
from chattr.domain.character import CharacterRead
from chattr.routes.download import HARMLESS
from chattr.routes.etags import etag
from chattr.routes.idempotency import IdempotentRoute

CARD_TYPES: Final = (
    *("application/json", "image/png", "image/apng", "image/vnd.mozilla.apng", "image/jpeg"),
    *("application/zip", "application/x-zip-compressed", "application/x-charx", "application/octet-stream"),
)
CARD_FILE: Final = "file"
MOST_FIELDS: Final = 8
NO_CARD_TYPE: Final = f"Send a card as multipart/form-data with `{CARD_FILE}`, or as it is: {', '.join(CARD_TYPES)}."
NO_CARD_FILE: Final = f"The form needs a file named `{CARD_FILE}`."
ONE_CARD: Final = f"The form may hold one file, `{CARD_FILE}`, and nothing else."


class CharacterImported(CharacterRead):
    """A character that was made of a card."""

    warnings: list[str]
    """What of the card has no effect, was cut or was left out."""


def card_body() -> dict[str, Any]:
    """Describe the forms in which a card comes."""
    binary = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": [CARD_FILE], "properties": {CARD_FILE: binary}}
    content: dict[str, Any] = {kind: {"schema": binary} for kind in CARD_TYPES}
    content["application/json"] = {"schema": {"type": "object"}}
    content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter(
    prefix="/api/v1/characters",
    tags=["Characters"],
    dependencies=[Depends(scope("characters"))],
    route_class=IdempotentRoute,
)


@router.post("/import", status_code=201, openapi_extra=card_body())
async def import_card(
    request: Request,
    owner: OwnerDep,
    actors: ActorsDep,
    cards: CardsDep,
    response: Response,
    character_id: Annotated[str | None, Query(alias="id", max_length=64)] = None,
) -> CharacterImported:
    """Create a character from a Character Card: V1, V2 or V3, as JSON, PNG, APNG or CHARX."""
    imported = await cards.take(owner, await card_of(request), character_id)
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


async def card_of(request: Request) -> bytes:
    """Return the card that a request carries. Raises `InvalidInput`, `Unsupported`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in CARD_TYPES:
        return await request.body()
    if kind != "multipart/form-data":
        raise Unsupported(NO_CARD_TYPE, param=CARD_FILE)
    async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
        parts = form.multi_items()
        if not any(name == CARD_FILE and isinstance(value, UploadFile) for name, value in parts):
            raise InvalidInput(NO_CARD_FILE, param=CARD_FILE)
        if len(parts) > 1 or not isinstance(upload := parts[0][1], UploadFile):
            raise InvalidInput(ONE_CARD, param=parts[-1][0])
        return await upload.read()
