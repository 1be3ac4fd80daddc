"""The public API's doors without anything behind them, scriptable: what clients of it are developed against.

In a test: `async with served(stub(State()))`. As a process: `python tests/stub_api.py --port 9100 [--page]`.
"""

import argparse
import asyncio
import io
import wave
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse, StreamingResponse

MOST_A_PAGE = 2  # so that a client that does not turn pages misses somebody
PORTRAITS = Path(__file__).parent.parent / "services" / "chattr" / "characters" / "portraits"
CAST = [
    ("ada", "Ada Lovelace", "Countess, mathematician, the first to see that an engine could do more than sums."),
    ("mira", "Captain Mira", "Commands the airship Meridian, with a brass parrot."),
    ("leonardo", "Leonardo da Vinci", "Painter, engineer, unfinished everything."),
    ("iris", "Iris", "The lighthouse's quiet machine."),
]


@dataclass(slots=True)
class State:
    """How the doors behave, and what they saw."""

    deltas: tuple[str, ...] = ("Ahoy, ", "{echo}! ", "The wind is fair today. ", "Shall we fly?")
    delay: float = 0.0
    key: str | None = None
    # After so many events of the first answer the connection breaks; the reply goes on.
    break_after: int | None = None
    voice: bool = True
    film: bytes = b""
    checks: dict[str, str] = field(default_factory=lambda: {"records": "ok", "language_model": "ok"})
    answers: dict[str, Any] = field(
        default_factory=lambda: {"kind": "embedded", "model": "qwen2.5-coder-0.5b-instruct"}
    )
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    replies: dict[str, list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    polls: int = 0


def sound(text: str) -> bytes:
    """A WAV whose length follows the text."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24000)
        file.writeframes(b"".join((i % 200 * 40).to_bytes(2, "little") for i in range(24 * 60 * len(text))))
    return out.getvalue()


def stub(state: State) -> FastAPI:  # noqa: C901, PLR0915 - one function a door, side by side
    """The doors."""
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def guarded(request: Request, handle: Any) -> Response:
        doors = ("/v1/", "/api/")
        key_given = request.headers.get("authorization") == f"Bearer {state.key}"
        if request.url.path.startswith(doors) and state.key and not key_given:
            return JSONResponse({"type": "urn:chatacter:problem:unauthenticated", "detail": "Send a key."}, 401)
        found: Response = await handle(request)
        return found

    @app.get("/api/v1/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "checks": state.checks, "answers": state.answers, "default_character": "ada"}

    @app.get("/api/v1/characters")
    async def characters(after: str = "", limit: int = 20) -> dict[str, Any]:
        everybody = [
            {
                "id": key,
                "object": "character",
                "name": name,
                "description": line,
                "greetings": [f"I am {name}. What brings you here?"],
                "portrait": key,
            }
            for key, name, line in CAST
        ]
        start = next((index + 1 for index, one in enumerate(everybody) if one["id"] == after), 0)
        data = everybody[start : start + min(limit, MOST_A_PAGE)]
        more = start + len(data) < len(everybody)
        return {"object": "list", "data": data, "has_more": more, "last_id": data[-1]["id"] if data else None}

    @app.get("/api/v1/characters/{character}/portrait")
    async def portrait(character: str) -> Response:
        return Response((PORTRAITS / f"{character}.svg").read_bytes(), media_type="image/svg+xml")

    async def events(reply_id: str, after: int) -> AsyncGenerator[bytes]:
        log = state.replies[reply_id]
        for number, (kind, data) in enumerate(log, 1):
            if number <= after:
                continue
            if kind == "reply.delta":
                await asyncio.sleep(state.delay)
            if reply_id in state.cancelled:
                yield frame(number, "reply.cancelled", {"told": []})
                return
            yield frame(number, kind, data)

    def frame(number: int, kind: str, data: dict[str, Any]) -> bytes:
        return f"id: {number}\nevent: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **data}) + b"\n\n"

    @app.post("/api/v1/chat/message")
    async def message(request: Request) -> Response:
        body = orjson.loads(await request.body())
        state.seen.append(("POST", request.url.path, body))
        reply_id = f"reply_{len(state.replies)}"
        session = body.get("session_id") or "conv_1"
        deltas = [("reply.delta", {"text": d.replace("{echo}", body["message"])}) for d in state.deltas]
        opening = ("reply.created", {"reply_id": reply_id, "conversation_id": session})
        state.replies[reply_id] = [opening, *deltas, ("reply.completed", {"finish_reason": "stop", "told": []})]

        async def broken() -> AsyncGenerator[bytes]:
            sent = 0
            async for line in events(reply_id, 0):
                if sent == state.break_after:
                    raise ConnectionAbortedError("the script ends the connection here")
                yield line
                sent += 1

        return StreamingResponse(broken(), media_type="text/event-stream")

    @app.get("/api/v1/chat/replies/{reply_id}/events")
    async def follow(request: Request, reply_id: str) -> Response:
        after = int(request.headers.get("last-event-id", 0))
        state.seen.append(("GET", request.url.path, after))
        return StreamingResponse(events(reply_id, after), media_type="text/event-stream")

    @app.post("/api/v1/chat/replies/{reply_id}/cancel", status_code=202)
    async def cancel(reply_id: str) -> dict[str, str]:
        state.cancelled.add(reply_id)
        return {"reply_id": reply_id, "status": "cancelling"}

    @app.get("/api/v1/chat/history/{session}")
    async def history(session: str) -> Response:
        return JSONResponse({"type": "urn:chatacter:problem:not-found", "detail": "There is none."}, 404)

    @app.get("/v1/audio/voices")
    async def voices() -> Response:
        if not state.voice:
            told = "Voice generation is switched off here (ENABLE_VOICE_GENERATION=false)."
            return JSONResponse({"error": {"message": told, "type": "x", "code": "unsupported"}}, 422)
        voice = {"id": "tone", "name": "Tone", "model": "kokoro", "language": "en"}
        return JSONResponse({"object": "list", "data": [voice]})

    @app.post("/v1/audio/speech")
    async def speech(request: Request) -> Response:
        body = orjson.loads(await request.body())
        state.seen.append(("POST", request.url.path, body))
        return Response(sound(body["input"]), media_type="audio/wav")

    def video(status: str, phase: str, progress: int) -> dict[str, Any]:
        head = {"id": "video_1", "object": "video", "model": "portrait", "created_at": 1, "seconds": "2"}
        return {**head, "status": status, "phase": phase, "progress": progress}

    @app.post("/v1/videos")
    async def film(request: Request) -> dict[str, Any]:
        state.seen.append(("POST", request.url.path, orjson.loads(await request.body())))
        state.polls = 0
        return video("queued", "queued", 0)

    @app.get("/v1/videos/video_1")
    async def filmed() -> dict[str, Any]:
        state.polls += 1
        steps = {
            1: ("in_progress", "speaking", 10),
            2: ("in_progress", "filming", 40),
            3: ("in_progress", "filming", 80),
        }
        return video(*steps.get(state.polls, ("completed", "completed", 100)))

    @app.get("/v1/videos/video_1/content")
    async def content() -> Response:
        return Response(state.film, media_type="video/webm")

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--delay", type=float, default=0.3)
    parser.add_argument("--key")
    parser.add_argument("--film", type=Path)
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    film = given.film.read_bytes() if given.film else b""
    app = stub(State(delay=given.delay, key=given.key, film=film))
    if given.page:
        from chattr.ui.door import Door
        from chattr.ui.mounting import mount

        mount(app, Door(f"http://127.0.0.1:{given.port}"))
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
