"""Characters: list, create, read, delete. The rest of the character engine answers that it is not built yet."""

from typing import Final, Literal

from fastapi import APIRouter, Depends
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import NotBuilt, NotFound
from chatacter.contracts.base import Strict
from chattr.dependencies import ActorsDep, CastDep, OwnerDep
from chattr.domain.character import Character, CharacterCreate, CharacterRead
from chattr.routes.idempotency import IdempotentRoute
from chattr.usecases.characters import Cast

# A picture may be an SVG that somebody sent: opened by itself in a browser, it must not run anything.
INERT: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
    "cache-control": "private, max-age=300",
}
FIXED: Final = "Characters cannot be changed yet; delete one and create it anew."


class CharacterList(Strict):
    """Who can be talked with."""

    object: Literal["list"] = "list"
    data: list[CharacterRead]


router = APIRouter(
    prefix="/api/v1/characters",
    tags=["Characters"],
    dependencies=[Depends(scope("characters"))],
    route_class=IdempotentRoute,
)


@router.get("")
async def list_characters(owner: OwnerDep, cast: CastDep) -> CharacterList:
    """List who can be talked with: those that come with the installation, then the tenant's own."""
    return CharacterList(data=[shown(cast, each) for each in await cast.list(owner)])


@router.post("", status_code=201)
async def create_character(body: CharacterCreate, owner: OwnerDep, cast: CastDep, response: Response) -> CharacterRead:
    """Create a character of the tenant's own."""
    made = await cast.create(owner, Character.made(body))
    response.headers["location"] = f"/api/v1/characters/{made.id}"
    return shown(cast, made)


@router.get("/{character_id}")
async def get_character(character_id: str, owner: OwnerDep, cast: CastDep) -> CharacterRead:
    """Describe one character."""
    return shown(cast, await cast.get(owner, character_id))


@router.get("/{character_id}/portrait", response_class=Response, responses={200: {"content": {"image/*": {}}}})
async def get_portrait(character_id: str, owner: OwnerDep, cast: CastDep, actors: ActorsDep) -> Response:
    """Return a character's picture. One without has none to return."""
    picture = await actors.portrait(owner, await cast.get(owner, character_id))
    if picture is None:
        raise NotFound("This character has no portrait.", param="character_id")
    return Response(picture.data, media_type=picture.media_type, headers=INERT)


@router.delete("/{character_id}", status_code=204)
async def delete_character(character_id: str, owner: OwnerDep, cast: CastDep) -> Response:
    """Remove one of the tenant's own characters."""
    await cast.delete(owner, character_id)
    return Response(status_code=204)


@router.put("/{character_id}")
async def replace_character(character_id: str) -> None:
    """Not built yet."""
    raise NotBuilt(FIXED)


@router.patch("/{character_id}")
async def change_character(character_id: str) -> None:
    """Not built yet."""
    raise NotBuilt(FIXED)


@router.post("/{character_id}/prompt:preview")
async def preview_prompt(character_id: str) -> None:
    """Not built yet."""
    raise NotBuilt("The prompt preview is not built yet.")


def shown(cast: Cast, character: Character) -> CharacterRead:
    """Show a character with where it comes from."""
    return CharacterRead.shown(character, cast.origin(character.id))
