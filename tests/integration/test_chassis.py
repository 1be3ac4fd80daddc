"""A service on the chassis, asked over ASGI: errors, keys, limits, streams, probes, metrics."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from chatacter.chassis import errors
from chatacter.chassis.app import Service, build
from chatacter.chassis.auth import Caller, keyring_of, new_key, scope
from chatacter.chassis.drain import Drain
from chatacter.chassis.errors import ChatacterError, InvalidInput, Misconfigured, Unauthenticated
from chatacter.chassis.health import Health
from chatacter.chassis.problems import NO_OBJECT, TABLE, mapped
from chatacter.chassis.server import bound
from chatacter.chassis.settings import ServiceSettings, url_host
from chatacter.chassis.streaming import opened
from chatacter.chassis.telemetry import telemetry_of
from tests.redis_server import free_port

pytestmark = pytest.mark.integration

SECRET = "a secret that somebody typed"


class Body(BaseModel):
    """What the test's door takes."""

    count: int = Field(ge=1)
    note: str = ""


def router() -> APIRouter:
    made = APIRouter(dependencies=[Depends(scope("chat"))])

    @made.get("/who")
    async def who(caller: Caller) -> dict[str, str]:
        return {"tenant": caller.tenant, "key": caller.key_id}

    @made.post("/v1/things")
    @made.post("/things")
    async def things(body: Body) -> int:
        return body.count

    @made.get("/raise/{name}")
    @made.get("/v1/raise/{name}")
    async def fail(name: str) -> None:
        kind = getattr(errors, name, None)
        if kind is None:
            raise ValueError(SECRET)
        raise kind("Do it differently.", param="name", retry_after=2.5)

    @made.get("/stream/{words}")
    async def stream(words: int, request: Request) -> Response:
        async def chunks() -> AsyncGenerator[bytes]:
            try:
                if words == 0:
                    raise InvalidInput("No words to say.")
                for word in range(words):
                    yield f"{word} ".encode()
            finally:
                request.app.state.closed = True

        return await opened(chunks(), "text/plain")

    @made.get("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    return made


def service(settings: ServiceSettings, health: Health | None = None) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield {}

    made = Service(
        name="test",
        title="Test",
        version="0",
        health=health or Health(),
        lifespan=lifespan,
        routers=[router()],
        telemetry=telemetry_of("test", settings),
    )
    return build(made, settings)


@asynccontextmanager
async def client(
    settings: ServiceSettings | None = None, *, host: str = "http://localhost", health: Health | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    app = await asyncio.to_thread(service, settings or ServiceSettings(), health)  # processes build it before the loop
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=host) as made:
        yield made


@pytest.fixture
def keys(tmp_path: Path) -> tuple[ServiceSettings, str, str]:
    """Settings that require keys, one key with the scope `chat`, one without."""
    talker, talking = new_key("talker", "acme", ["chat"])
    watcher, watching = new_key("watcher", "acme", ["inside"])
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([talking.model_dump(mode="json"), watching.model_dump(mode="json")]))
    return ServiceSettings(require_api_key=True, api_keys_file=file), talker, watcher


@pytest.mark.parametrize("kind", [kind for kind in TABLE if kind is not ChatacterError])
async def test_every_error_has_its_status_in_both_shapes(kind: type[ChatacterError]) -> None:
    async with client() as ask:
        plain = await ask.get(f"/raise/{kind.__name__}")
        openai = await ask.get(f"/v1/raise/{kind.__name__}")
    assert plain.status_code == openai.status_code == mapped(kind("")).status
    assert plain.headers["content-type"] == "application/problem+json"
    assert plain.json()["detail"] == openai.json()["error"]["message"] == "Do it differently."
    assert plain.json()["type"] == f"urn:chatacter:problem:{kind.code.replace('_', '-')}"
    assert openai.json()["error"]["code"] == kind.code
    assert plain.headers["retry-after"] == "3"


async def test_an_unexpected_error_tells_nothing() -> None:
    async with client() as ask:
        answer = await ask.get("/raise/nothing")
    assert answer.status_code == 500
    assert SECRET not in answer.text
    assert len(answer.json()["instance"]) == 32


async def test_a_mistake_names_its_field_and_never_repeats_the_input() -> None:
    async with client() as ask:
        answer = await ask.post("/v1/things", json={"count": 0, "note": SECRET})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "count"
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (f'{{"note": {SECRET}'.encode(), "application/json", "The body is not JSON: Expecting value, at character 9."),
        (b'{"count": 1}', "application/x-www-form-urlencoded", NO_OBJECT),
        (f'["{SECRET}"]'.encode(), "application/json", NO_OBJECT),
        (b"", "application/json", NO_OBJECT),
    ],
)
async def test_a_body_that_is_no_object_is_told_so(body: bytes, kind: str, said: str) -> None:
    async with client() as ask:
        answer = await ask.post("/things", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["detail"]) == (422, said)


async def test_unknown_addresses_and_methods_are_problems_too() -> None:
    async with client() as ask:
        missing, wrong = await ask.get("/nowhere"), await ask.delete("/who")
    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert wrong.headers["allow"]
    assert missing.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"


async def test_on_loopback_anyone_is_the_default_tenant() -> None:
    async with client() as ask:
        anonymous = await ask.get("/who")
        some_key = await ask.get("/who", headers={"authorization": "Bearer sk-anything"})
    assert anonymous.json() == some_key.json() == {"tenant": "default", "key": "anonymous"}


async def test_keys_decide_who_enters_and_where(keys: tuple[ServiceSettings, str, str]) -> None:
    settings, talker, watcher = keys
    async with client(settings) as ask:
        answers = {
            name: await ask.get("/who", headers=headers)
            for name, headers in {
                "none": {},
                "wrong": {"authorization": "Bearer wrong"},
                "basic": {"authorization": f"Basic {talker}"},
                "scopeless": {"authorization": f"Bearer {watcher}"},
                "right": {"authorization": f"Bearer {talker}"},
            }.items()
        }
        metrics = [
            (await ask.get("/metrics", headers={"authorization": f"Bearer {key}"})).status_code
            for key in (talker, watcher)
        ]
        schema = await ask.get("/openapi.json")
        live = await ask.get("/livez")
    assert {name: answer.status_code for name, answer in answers.items()} == {
        "none": 401,
        "wrong": 401,
        "basic": 401,
        "scopeless": 403,
        "right": 200,
    }
    assert answers["none"].headers["www-authenticate"] == "Bearer"
    assert answers["right"].json() == {"tenant": "acme", "key": "talker"}
    assert metrics == [403, 200]
    assert (schema.status_code, live.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("host", "require", "closed"),
    [
        ("127.0.0.1", None, False),
        ("::1", None, False),
        ("0.0.0.0", None, True),
        ("0.0.0.0", False, False),
        ("127.0.0.1", True, True),
    ],
)
def test_doors_are_open_on_loopback_only_unless_told(host: str, require: bool | None, closed: bool) -> None:
    assert ServiceSettings(host=host, require_api_key=require).keys_required is closed


@pytest.mark.parametrize(
    ("host", "reached"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("box.lan", "box.lan")],
)
def test_a_service_is_reached_at_a_host_that_fits_a_url(host: str, reached: str) -> None:
    assert url_host(host) == reached


@pytest.mark.parametrize("reached", ["127.0.0.1", "::1"])
def test_all_of_ipv6_is_all_of_ipv4_too(reached: str) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with bound("::", port := free_port()) as listener:
        listener.listen()
        socket.create_connection((reached, port), timeout=5).close()


def test_a_service_without_doors_needs_no_key_and_lets_nobody_read() -> None:
    keyring = keyring_of(ServiceSettings(host="0.0.0.0"), needed=False)
    for token in (None, "any"):
        with pytest.raises(Unauthenticated):
            keyring.identify(token)


async def test_the_end_has_one_clock_that_starts_once() -> None:
    drain = Drain(5)
    assert drain.remaining == 5
    drain.begin()
    await drain.begun.wait()
    first = drain.remaining
    drain.begin()
    assert drain.remaining <= first <= 5
    assert Drain(0).remaining == 0


def test_closed_doors_without_a_key_do_not_start() -> None:
    with pytest.raises(Misconfigured, match="chatacter keys create"):
        service(ServiceSettings(require_api_key=True))


async def test_another_name_for_this_machine_is_refused_while_doors_are_open() -> None:
    async with client(host="http://evil.example:8000") as ask:
        answer = await ask.get("/who")
    assert answer.status_code == 422
    assert "localhost" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("origin", "status"),
    [(None, 200), ("http://localhost:8000", 200), ("https://ours.example", 200), ("https://evil.example", 403)],
)
async def test_another_sites_page_changes_nothing_while_doors_are_open(origin: str | None, status: int) -> None:
    settings = ServiceSettings(cors_origins=("https://ours.example",))
    headers = {"origin": origin} if origin else {}
    async with client(settings) as ask:
        assert (await ask.post("/things", json={"count": 1}, headers=headers)).status_code == status
        assert (await ask.get("/who", headers=headers)).status_code == 200


async def test_all_origins_are_meant_by_a_star() -> None:
    async with client(ServiceSettings(cors_origins=("*",))) as ask:
        answer = await ask.post("/things", json={"count": 1}, headers={"origin": "https://any.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


async def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    async def drops() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 64

    async with client(ServiceSettings(max_request_bytes=1024)) as ask:
        declared = await ask.post("/things", content=b" " * 2000)
        streamed = await ask.post("/v1/things", content=drops())
    assert declared.status_code == streamed.status_code == 413
    assert "MAX_REQUEST_BYTES" in streamed.json()["error"]["message"]


async def test_an_answer_that_does_not_begin_in_time_is_a_504() -> None:
    async with client(ServiceSettings(request_timeout=0.05)) as ask:
        answer = await ask.get("/slow")
    assert answer.status_code == 504


async def test_a_stream_that_fails_before_its_first_chunk_is_a_plain_error() -> None:
    async with client() as ask:
        good, bad = await ask.get("/stream/3"), await ask.get("/stream/0")
    assert good.text == "0 1 2 "
    assert bad.status_code == 422
    assert bad.json()["detail"] == "No words to say."


async def test_readiness_tells_what_is_missing() -> None:
    async def away() -> str | None:
        return "Redis does not answer."

    async def hangs() -> str | None:
        await asyncio.Event().wait()
        return None

    async with client(health=Health(required={"redis": away})) as ask:
        answer = await ask.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["redis"] == "Redis does not answer."
    async with client(health=Health(optional={"voice": away})) as ask:
        assert (await ask.get("/readyz")).status_code == 200


async def test_metrics_count_requests() -> None:
    async with client() as ask:
        await ask.get("/who")
        metrics = await ask.get("/metrics")
    assert "http_server_request_duration_seconds_bucket" in metrics.text
    async with client(ServiceSettings(enable_metrics=False)) as ask:
        assert (await ask.get("/metrics")).status_code == 404


async def test_only_named_origins_may_call_from_a_browser() -> None:
    settings = ServiceSettings(cors_origins="https://a.example, https://b.example")  # type: ignore[arg-type]
    asked = {"access-control-request-method": "GET"}
    async with client(settings) as ask:
        known = await ask.options("/who", headers={"origin": "https://b.example", **asked})
        stranger = await ask.options("/who", headers={"origin": "https://c.example", **asked})
    assert known.headers["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-origin" not in stranger.headers
