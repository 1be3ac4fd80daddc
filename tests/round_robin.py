"""A balancer without affinity: each request goes to the next replica. Streams pass through as they come."""

import itertools
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "host"})
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def application(replicas: Sequence[str]) -> Starlette:
    """The balancer over these base URLs; every answer says in `x-replica` who gave it."""
    turn = itertools.cycle(range(len(replicas)))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
        async with httpx.AsyncClient(timeout=120) as client:
            yield {"client": client}

    async def forward(request: Request) -> Response:
        number = next(turn)
        client: httpx.AsyncClient = request.state.client
        headers = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
        asked = client.build_request(
            request.method,
            f"{replicas[number]}{request.url.path}?{request.url.query}",
            headers=headers,
            content=await request.body(),
        )
        answer = await client.send(asked, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in HOP_BY_HOP}
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            headers={**kept, "x-replica": str(number)},
            background=BackgroundTask(answer.aclose),
        )

    return Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)], lifespan=lifespan)


@contextmanager
def balanced(replicas: Sequence[str]) -> Iterator[str]:
    """Run the balancer in a thread of its own; yields its base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(application(replicas), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
