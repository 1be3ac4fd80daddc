"""A client that keeps its connection and reads nothing from it: the work for it ends all the same."""

import asyncio
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.responses import Response

from chatacter.chassis import streaming
from tests.served import served
from tests.waiting import until

pytestmark = pytest.mark.integration

PIECE = b"x" * 1_000_000


class Endless:
    """An answer without an end, that knows when it was given up."""

    def __init__(self) -> None:
        self.closed = False
        self.app = FastAPI()
        self.app.get("/")(self.answer)

    async def answer(self) -> Response:
        return await streaming.opened(self.pieces(), "audio/wav")

    async def pieces(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield PIECE
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def test_who_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "TAKEN_WITHIN", 0.3)
    answer = Endless()
    async with served(answer.app) as url:
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await until(lambda: answer.closed)
        writer.close()


async def test_who_takes_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "TAKEN_WITHIN", 1.0)
    answer = Endless()
    async with served(answer.app) as url:
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for _ in range(8):
            for _ in range(20):
                await reader.readexactly(200_000)
            await asyncio.sleep(0.2)
        assert not answer.closed
        writer.close()
        await until(lambda: answer.closed)
