"""A tiny OpenAI-compatible provider without weights: real HTTP, scripted deltas, a door that shows what it was asked.

In a test: the fixture `llm_server` (in this process, in a thread of its own), or `started(Script(...))`. As a process:
`python tests/fake_llm_server.py --port 9000`; then `PUT /debug/script`, `GET /debug/requests`, `GET /debug/counts` and
`DELETE /debug` do over HTTP what the attributes of `FakeLLMServer` do in process.

`{echo}` in a delta becomes the newest user message, `{turns}` the number of messages, `{model}` the model's name.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import re
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

COUNTED = ("started", "finished", "disconnected", "deltas")


@dataclass(frozen=True, slots=True)
class Script:
    """How the provider behaves from now on. Times in seconds."""

    deltas: tuple[str, ...] = ("Hello", ", ", "{echo}", "!")
    # Streamed as they stand instead of deltas, each with the id, object and model that every chunk has.
    chunks: tuple[dict[str, Any], ...] = ()
    first_delay: float = 0.0
    delay: float = 0.0
    finish_reason: str = "stop"
    # Anything but 200: answered instead of a stream, `error_body` as it stands.
    status: int = 200
    error_body: str = '{"error": {"message": "scripted", "type": "server_error", "code": null}}'
    headers: dict[str, str] = field(default_factory=dict)
    # How many requests are answered with `status` before the stream works again; None: all of them.
    failures: int | None = None
    # After so many deltas the connection breaks; or the stream ends as if it were whole, without saying why; or an
    # `error` event is sent in it.
    break_after: int | None = None
    end_after: int | None = None
    error_after: int | None = None
    # Parameters that the model refuses as OpenAI's do.
    untaken: tuple[str, ...] = ()
    # Refuse callers that do not send this key.
    api_key: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body.get("messages", []))

    @property
    def prompt(self) -> str:
        """All messages, a line each: `role: content`."""
        return "\n".join(f"{message['role']}: {message['content']}" for message in self.messages)


class State:
    """What was asked and counted; shared between the server's thread and the test's."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self.changed = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()

    def count(self, what: str) -> None:
        with self.changed:
            self.counts[what] += 1
            self.changed.notify_all()

    def reset(self, script: Script) -> None:
        with self.changed:
            self.script = script
            self.requests.clear()
            self.counts.clear()

    def refused(self, request: Request) -> Response | None:
        key = self.script.api_key
        if key is None or request.headers.get("authorization") == f"Bearer {key}":
            return None
        return Response('{"error": {"message": "bad key"}}', 401, media_type="application/json")

    def untaken(self, body: dict[str, Any]) -> Response | None:
        found = next((name for name in self.script.untaken if name in body), None)
        if found is None:
            return None
        error = {"message": "no", "type": "invalid_request_error", "param": found, "code": "unsupported_parameter"}
        return Response(orjson.dumps({"error": error}), 400, media_type="application/json")

    def failing(self) -> bool:
        script = self.script
        return script.status != 200 and (script.failures is None or len(self.requests) <= script.failures)


class Scripted(Response):
    """Streams the script, and watches for the hang-up all the while."""

    def __init__(self, state: State, body: dict[str, Any]) -> None:
        super().__init__()
        self.state = state
        self.body_in = body
        self.script = state.script

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.state.count("started")
        work = asyncio.ensure_future(self.stream(send) if self.body_in.get("stream") else self.whole(send))
        gone = asyncio.ensure_future(self.hung_up(receive))
        done, pending = await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        self.state.count("finished" if work in done else "disconnected")
        if work in done:
            work.result()

    async def hung_up(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    def texts(self) -> list[str]:
        messages = self.body_in.get("messages", [])
        echo = next((str(m["content"]) for m in reversed(messages) if m["role"] == "user"), "")
        values = {"{echo}": echo, "{turns}": str(len(messages)), "{model}": str(self.body_in.get("model"))}
        return [re.sub(r"\{(?:echo|turns|model)\}", lambda found: values[found[0]], d) for d in self.script.deltas]

    def usage(self) -> dict[str, int]:
        prompt = sum(len(str(m["content"])) // 4 + 4 for m in self.body_in.get("messages", []))
        completion = len(self.script.deltas)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    async def paced(self) -> AsyncIterator[str]:
        await asyncio.sleep(self.script.first_delay)
        for number, text in enumerate(self.texts()):
            if number:
                await asyncio.sleep(self.script.delay)
                await asyncio.to_thread(self.state.gate.wait)
            self.state.count("deltas")
            yield text

    def chunk(self, delta: dict[str, str], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        head: dict[str, Any] = {
            "id": "chatcmpl-fake",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": self.body_in["model"],
        }
        return b"data: " + orjson.dumps({**head, "choices": [choice], **more}) + b"\n\n"

    async def stream(self, send: Send) -> None:
        async def write(data: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        started = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": started})
        for chunk in self.script.chunks:
            await write(self.chunk({}, **chunk))
        if self.script.chunks:
            await write(b"data: [DONE]\n\n", more=False)
            return
        await write(self.chunk({"role": "assistant", "content": ""}))
        sent = 0
        async for text in self.paced():
            if sent == self.script.break_after:
                raise ConnectionAbortedError("the script ends the connection here")
            if sent == self.script.end_after:
                await write(b"", more=False)
                return
            if sent == self.script.error_after:
                await write(b'data: {"error": {"message": "scripted failure", "type": "server_error"}}\n\n', more=False)
                return
            await write(self.chunk({"content": text}))
            sent += 1
        await write(self.chunk({}, self.script.finish_reason))
        if (self.body_in.get("stream_options") or {}).get("include_usage"):
            last = orjson.loads(self.chunk({}).removeprefix(b"data: "))
            await write(b"data: " + orjson.dumps({**last, "choices": [], "usage": self.usage()}) + b"\n\n")
        await write(b"data: [DONE]\n\n", more=False)

    async def whole(self, send: Send) -> None:
        text = "".join([part async for part in self.paced()])
        message = {"role": "assistant", "content": text}
        head = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": self.body_in["model"]}
        choice = {"index": 0, "message": message, "finish_reason": self.script.finish_reason}
        body = orjson.dumps({**head, "choices": [choice], "usage": self.usage()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def create_app(state: State) -> FastAPI:
    """The provider, and its debug door."""
    app = FastAPI(openapi_url=None)

    @app.get("/v1/models", response_model=None)
    async def models(request: Request) -> Response | dict[str, Any]:
        model = {"id": "fake", "object": "model", "created": 1, "owned_by": "tests"}
        return state.refused(request) or {"object": "list", "data": [model]}

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        body = orjson.loads(await request.body())
        state.requests.append(Seen(request.url.path, dict(request.headers), body))
        script = state.script
        if (refusal := state.refused(request)) is not None:
            return refusal
        if state.failing():
            await asyncio.sleep(script.first_delay)
            return Response(script.error_body, script.status, script.headers, "application/json")
        return state.untaken(body) or Scripted(state, body)

    @app.put("/debug/script")
    async def write(request: Request) -> None:
        given = orjson.loads(await request.body())
        state.reset(Script(**{**given, "deltas": tuple(given.get("deltas", Script().deltas))}))

    @app.get("/debug/requests")
    async def requests() -> list[dict[str, Any]]:
        return [dataclasses.asdict(seen) for seen in state.requests]

    @app.get("/debug/counts")
    async def counts() -> dict[str, int]:
        return {name: state.counts[name] for name in COUNTED}

    @app.delete("/debug")
    async def forget() -> None:
        state.reset(state.script)

    return app


class FakeLLMServer:
    """The provider in a thread of this process, on a free port of loopback."""

    def __init__(self, script: Script) -> None:
        self.state = State(script)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(128)  # From here on connections wait in the backlog: no start to poll for.
        self.server = uvicorn.Server(config(create_app(self.state)))
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        self.server.run(sockets=[self.listener])

    @property
    def url(self) -> str:
        """The base URL that a client is given."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    @property
    def requests(self) -> list[Seen]:
        """What arrived, oldest first."""
        return self.state.requests

    @property
    def counts(self) -> Counter[str]:
        """`started`, `finished`, `disconnected` (hung up before the end), `deltas` (produced so far)."""
        return self.state.counts

    def play(self, *deltas: str, **script: Any) -> None:
        """Forget what was seen, and behave so from now on."""
        given = Script(**script)
        self.state.reset(dataclasses.replace(given, deltas=deltas) if deltas else given)

    def stream(self, *chunks: dict[str, Any]) -> None:
        """Forget what was seen, and stream these chunks from now on."""
        self.play(chunks=chunks)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let every answer wait after its first delta."""
        self.state.gate.clear()
        try:
            yield
        finally:
            self.state.gate.set()

    async def reached(self, what: str, number: int = 1, seconds: float = 30.0) -> bool:
        """Wait until a count is at least so high; False when it is not in time."""

        def wait() -> bool:
            with self.state.changed:
                return self.state.changed.wait_for(lambda: self.counts[what] >= number, seconds)

        return await asyncio.to_thread(wait)

    def stop(self) -> None:
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(5)
        self.listener.close()


def config(app: FastAPI, **more: Any) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none", **more)


@contextmanager
def started(script: Script | None = None) -> Iterator[FakeLLMServer]:
    """A provider of the test's own."""
    server = FakeLLMServer(script or Script())
    server.thread.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def llm_server_of_this_run() -> Iterator[FakeLLMServer]:
    """One provider for the whole run."""
    with started() as server:
        yield server


@pytest.fixture
def llm_server(llm_server_of_this_run: FakeLLMServer) -> FakeLLMServer:
    """The provider of this run with the first script, having seen nothing."""
    llm_server_of_this_run.play()
    return llm_server_of_this_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds between deltas")
    given = parser.parse_args()
    state = State(Script(delay=given.delay))
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config(create_app(state), host=given.host, port=given.port)).run()


if __name__ == "__main__":
    main()
