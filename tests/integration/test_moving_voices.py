"""What `chatacter export` and `chatacter import` ask of a server for a character's own voice, and what they tell."""

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse

from chatacter.chat.moving import ARCHIVE, CARD, MEMORIES, VOICE, put, taken
from chatacter.client.api import Api
from chatacter.client.errors import Refused
from tests.served import served

pytestmark = pytest.mark.integration

OWN: Final = "voice_0123456789abcdef0123456789abcdef"
MADE: Final = "voice_fedcba9876543210fedcba9876543210"
PARTS: Final[dict[str, Any]] = {ARCHIVE: {"speech_model": None}, CARD: b"card", MEMORIES: {}, VOICE: {"id": OWN}}


class House:
    """A server with one character, that answers without judging; it writes down what it was asked."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.asked: dict[str, dict[str, str]] = {}
        self.speaks_with: str | None = OWN
        self.card_status = 201

    def answer(self, path: str) -> Any:
        if path.endswith("/export") and "characters" in path:
            return Response(b"card", media_type="application/zip", headers={"content-disposition": 'filename="r"'})
        if path == "/api/v1/characters/robin":
            return {"id": "robin", "voice": self.speaks_with, "speech_model": "xtts"}
        if path == "/api/v1/characters/import" and self.card_status != 201:
            error = {"message": "No.", "code": "conflict", "type": "invalid_request_error"}
            return JSONResponse({"error": error}, status_code=self.card_status)
        if path == "/v1/audio/voices/import":
            return {"id": MADE, "name": "Mine", "model": "xtts", "language": "en", "kind": "cloned"}
        return {}

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def any_door(request: Request) -> Any:
            self.asked[request.url.path] = dict(request.query_params)
            await request.body()
            return self.answer(request.url.path)

        return app


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    async with served(made.app()) as made.url:
        yield made


async def test_a_voice_is_taken_from_the_model_that_it_belongs_to(house: House) -> None:
    async with Api.connected(house.url) as api:
        await taken(api, "robin", voice=True)
    assert house.asked[f"/v1/audio/voices/{OWN}/export"] == {"speech_model": "xtts"}


async def test_a_character_is_told_the_model_at_which_its_voice_was_put_down(house: House) -> None:
    async with Api.connected(house.url) as api:
        await put(api, PARTS, "robin")
    assert house.asked["/v1/audio/voices/import"] == {}
    placed = {"id": "robin", "voice": MADE, "speech_model": "xtts"}
    assert house.asked["/api/v1/characters/import"] == placed


@pytest.mark.parametrize(("speaks_with", "told"), [(OWN, True), (None, True), (MADE, False)])
async def test_a_voice_that_nobody_speaks_with_is_told(
    house: House, speaks_with: str | None, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    house.card_status, house.speaks_with = 409, speaks_with
    async with Api.connected(house.url) as api:
        await put(api, PARTS, "robin")
    assert (f"voice {MADE} is there, and robin" in capsys.readouterr().err) is told
    assert "/api/v1/memories/import" in house.asked, "what was said comes all the same"


async def test_a_card_that_is_refused_says_that_its_voice_was_put_down(house: House) -> None:
    house.card_status = 422
    async with Api.connected(house.url) as api:
        with pytest.raises(Refused, match=rf"^No\. The voice {MADE} is there already"):
            await put(api, PARTS, "robin")
        with pytest.raises(Refused, match=r"^No\.$"):
            await put(api, {name: part for name, part in PARTS.items() if name != VOICE}, "robin")
