"""Films ordered from a server of OpenAI's videos API: what is asked and passed on, and that nothing stays there."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
from openai import AsyncOpenAI
from pydantic import SecretStr

from chatacter.chassis.errors import (
    Busy,
    Cancelled,
    ChatacterError,
    DeadlineExceeded,
    InvalidInput,
    Misconfigured,
    Unavailable,
    UpstreamFailed,
)
from chattr.settings import VisualizrSettings as AtChattr
from tests.film_material import PHOTO, shot, tone, watched
from tests.served import served
from tests.videos_server import VideosServer
from tests.waiting import until
from visualizr.app import application
from visualizr.backend import Film, Picture, Progress, Shot
from visualizr.backends.fake import FakeBackend
from visualizr.backends.remote_videos import RemoteVideos
from visualizr.frames import Recorder
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.integration

JPEG = Picture("image/jpeg", PHOTO.read_bytes())
FILMS = "/v1/video/generations"
GOOD = {"id": "video_1", "status": "queued"}
Answer = Callable[[httpx.Request], httpx.Response]


def settings_of(**more: Any) -> VisualizrSettings:
    given = {"visualizr_remote_url": "http://films/v1", "visualizr_remote_model": "sora-2", **more}
    return VisualizrSettings(visualizr_model="remote-videos", **given)


def answered(answer: Answer, **more: Any) -> RemoteVideos:
    backend = RemoteVideos(settings_of(**more), httpx.MockTransport(answer))
    backend.load()
    return backend


def filmed(backend: RemoteVideos, wanted: Shot | None = None) -> list[Progress | Film]:
    return list(backend.film(wanted or shot(None, None, prompt="A cat."), threading.Event()))


def small_film(sound: bool = True) -> bytes:
    with Recorder("mp4", (64, 64), 10, tone(0.5) if sound else None, 1) as record:
        for number in range(5):
            record.add(np.full((64, 64, 4), 40 * number, np.uint8))
        return record.finish()[0]


@asynccontextmanager
async def there(server: VideosServer, **more: Any) -> AsyncIterator[RemoteVideos]:
    """A backend that asks this server."""
    async with served(server.app()) as url:
        backend = RemoteVideos(settings_of(visualizr_remote_url=f"{url}/v1", **more))
        await asyncio.to_thread(backend.load)
        yield backend
        await asyncio.to_thread(backend.close)


async def test_it_asks_as_openais_client_does() -> None:
    server = VideosServer(FakeBackend())
    async with served(server.app()) as url, AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0) as client:
        upload = ("reference.jpg", JPEG.data, JPEG.media_type)
        video = await client.videos.create_and_poll(
            model="sora-2", prompt="A cat.", size="1280x720", seconds="8", input_reference=upload
        )
        assert len(await (await client.videos.download_content(video.id)).aread()) > 1000
        assert (await client.videos.delete(video.id)).deleted
        of_another = server.orders.pop()
        more = {"visualizr_remote_url": f"{url}/v1", "visualizr_remote_seconds": "4,8,12"}
        backend = RemoteVideos(settings_of(**more, visualizr_remote_api_key=SecretStr("k")))
        await asyncio.to_thread(backend.load)
        wanted = shot(JPEG, tone(5.0), prompt="A cat.", width=1280, height=720)
        film = (await asyncio.to_thread(filmed, backend, wanted))[-1]
        await asyncio.to_thread(backend.close)
    assert isinstance(film, Film)
    assert server.orders == [of_another]
    assert server.keys == ["Bearer k", "Bearer k"]
    assert not server.jobs  # what was fetched does not stay there


async def test_only_fields_that_the_server_takes_are_passed_on_and_that_is_told() -> None:
    server = VideosServer(FakeBackend())
    wanted = shot(None, None, prompt="A cat.", frames=4, negative_prompt="dogs", fps=10, seed=7)
    async with there(server, visualizr_remote_fields="seed,num_frames,negative_prompt") as backend:
        film = (await asyncio.to_thread(filmed, backend, wanted))[-1]
        assert backend.capabilities.controls == {"num_frames", "negative_prompt"}
    ((fields, picture),) = server.orders
    assert (fields["seed"], fields["num_frames"], fields["negative_prompt"], picture) == ("7", "4", "dogs", None)
    assert "fps" not in fields
    assert isinstance(film, Film)
    assert film.metadata["passed_on"] == ["negative_prompt", "num_frames", "seed"]
    assert film.fps == 10  # the other one made 25 a second


@pytest.mark.parametrize("how", ["event", "hang_up"])
async def test_who_hangs_up_ends_the_work_there(how: str) -> None:
    server = VideosServer(FakeBackend(pause=0.05))
    async with there(server) as backend:
        if how == "event":
            await asyncio.to_thread(cancelled_early, backend)
        else:
            app = await asyncio.to_thread(lambda: application(settings_of(enable_metrics=False), backend))
            async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20) as client:
                while (await client.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.01)
                body = {"model": "remote-videos", "prompt": "A cat."}
                async with client.stream("POST", FILMS, json=body) as answer:
                    lines = answer.aiter_lines()
                    await anext(lines)
                await until(server.stopped.is_set)
        await until(server.stopped.is_set)
    assert not server.jobs


def cancelled_early(backend: RemoteVideos) -> None:
    cancelled = threading.Event()
    pieces = backend.film(shot(None, None, prompt="A cat."), cancelled)
    next(pieces)
    cancelled.set()
    with pytest.raises(Cancelled):
        list(pieces)


@pytest.mark.parametrize(
    ("code", "error"), [("moderation_blocked", InvalidInput), ("video_generation_failed", UpstreamFailed)]
)
async def test_why_a_film_failed_is_passed_on(code: str, error: type[ChatacterError]) -> None:
    server = VideosServer(FakeBackend(), failing={"code": code, "message": "Not this one."})
    async with there(server) as backend:
        with pytest.raises(error, match="Not this one"):
            await asyncio.to_thread(filmed, backend)
    assert not server.jobs


def test_the_shared_token_is_not_shown_to_strangers() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(401)

    with pytest.raises(Misconfigured, match="VISUALIZR_REMOTE_API_KEY"):
        filmed(answered(answer, service_token=SecretStr("inside" * 8)))
    assert seen == [None]


def scripted(*asked: Any, content: httpx.Response | None = None) -> tuple[Answer, list[str]]:
    """A server that answers questions after its job in turn, the last one again and again; and what it was asked."""
    answers, seen = list(asked), []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            return httpx.Response(200, json=GOOD)
        if request.url.path.endswith("/content"):
            assert content is not None
            return content
        if request.method == "DELETE":
            return httpx.Response(200, json={})
        said = answers.pop(0) if len(answers) > 1 else answers[0]
        if said is None:
            raise httpx.ConnectError("away", request=request)
        headers = {"openai-poll-after-ms": "0"}
        return said if isinstance(said, httpx.Response) else httpx.Response(200, json=said, headers=headers)

    return answer, seen


def state(status: str, progress: float | None = None) -> dict[str, Any]:
    return {**GOOD, "status": status, "progress": progress}


def test_a_server_that_is_away_for_a_moment_loses_no_film() -> None:
    content = httpx.Response(200, content=small_film(), headers={"content-type": "video/mp4"})
    answer, seen = scripted(
        None, httpx.Response(502), state("in_progress", 50), state("completed", 100), content=content
    )
    pieces = filmed(answered(answer), shot(None, None, prompt="A cat.", width=0, height=0, fps=0))
    done = [piece.done for piece in pieces if isinstance(piece, Progress)]
    assert done == sorted(done)
    assert 0.45 in done
    film = pieces[-1]
    assert isinstance(film, Film)
    sight = watched(film)
    assert (len(sight.frames), film.fps, (film.width, film.height)) == (5, 10, (64, 64))
    assert sight.heard == pytest.approx(0.5, abs=0.1)  # the sound that it came with
    assert seen[-2:] == ["GET /v1/videos/video_1/content", "DELETE /v1/videos/video_1"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("video_bGl0ZWxsbTpjdXN0b20=", "video_bGl0ZWxsbTpjdXN0b20%3D"),
        ("a+b/c?d#e%2e", "a%2Bb%2Fc%3Fd%23e%252e"),
        ("../keys", "..%2Fkeys"),
    ],
)
def test_ids_are_anything_and_stay_one_part_of_an_address(name: str, path: str) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.raw_path.decode()}")
        if request.url.path.endswith("/content"):
            return httpx.Response(200, content=small_film(), headers={"content-type": "video/mp4"})
        asked = request.method == "GET"
        return httpx.Response(200, json={"id": name, "status": "completed" if asked else "queued"})

    assert isinstance(filmed(answered(answer))[-1], Film)
    here = f"/v1/videos/{path}"
    assert seen == ["POST /v1/videos", f"GET {here}", f"GET {here}/content", f"DELETE {here}"]


@pytest.mark.parametrize("name", ["", ".", "..", "a\nb", "a\x00"])
def test_ids_that_are_none(name: str) -> None:
    with pytest.raises(UpstreamFailed):
        filmed(answered(lambda _: httpx.Response(200, json={"id": name, "status": "queued"})))


@pytest.mark.parametrize(
    ("asked", "more", "error"),
    [
        ([None], {"visualizr_remote_timeout": 0.05}, Unavailable),
        ([state("queued")], {"visualizr_remote_longest": 0.3}, DeadlineExceeded),
        ([state("expired")], {}, UpstreamFailed),
        ([httpx.Response(404, json={"error": {"message": "Gone."}})], {}, UpstreamFailed),
        ([httpx.Response(409)], {}, UpstreamFailed),
        ([httpx.Response(410)], {}, UpstreamFailed),
        ([httpx.Response(400)], {}, InvalidInput),
        ([{"status": "queued"}], {}, UpstreamFailed),
        ([{"id": "..", "status": "queued"}], {}, UpstreamFailed),
    ],
)
def test_what_does_not_end_well_is_removed_there(
    asked: list[Any], more: dict[str, Any], error: type[ChatacterError]
) -> None:
    answer, seen = scripted(*asked)
    began = time.monotonic()
    with pytest.raises(error):
        filmed(answered(answer, **more))
    assert time.monotonic() - began < 4
    assert seen[-1] == "DELETE /v1/videos/video_1"


@pytest.mark.parametrize(
    "content",
    [
        httpx.Response(200, content=b"no film", headers={"content-type": "video/mp4"}),
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
        httpx.Response(500),
        httpx.Response(404, json={"error": {"message": "Gone."}}),
        httpx.Response(409),
    ],
)
def test_what_is_no_film(content: httpx.Response) -> None:
    answer, seen = scripted(state("completed"), content=content)
    with pytest.raises(UpstreamFailed):
        filmed(answered(answer))
    assert seen[-1].startswith("DELETE")


@pytest.mark.parametrize("heard", [True, False])
def test_a_film_longer_than_any_is_given_up(heard: bool) -> None:
    content = httpx.Response(200, content=small_film(heard), headers={"content-type": "video/mp4"})
    answer, seen = scripted(state("completed"), content=content)
    with pytest.raises(UpstreamFailed, match="VISUALIZR_MAX_SECONDS"):
        filmed(answered(answer, visualizr_max_seconds=0.3))
    assert seen[-1].startswith("DELETE")


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (httpx.Response(429, headers={"retry-after": "7"}), Busy),
        (httpx.Response(503), Unavailable),
        (httpx.Response(400, json={"error": {"message": "size: no."}}), InvalidInput),
        (httpx.Response(500), UpstreamFailed),
        (httpx.Response(200, content=b"hello"), UpstreamFailed),
    ],
)
def test_refusals_become_our_own(response: httpx.Response, error: type[ChatacterError]) -> None:
    with pytest.raises(error) as refused:
        filmed(answered(lambda _: response))
    assert refused.value.retry_after == (7.0 if error is Busy else None)


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({"visualizr_remote_fields": "colour"}, "VISUALIZR_REMOTE_FIELDS"),
        ({"visualizr_remote_seconds": "4,long"}, "VISUALIZR_REMOTE_SECONDS"),
    ],
)
def test_settings_that_mean_nothing(more: dict[str, Any], names: str) -> None:
    with pytest.raises(Misconfigured, match=names):
        answered(lambda _: httpx.Response(500), **more)


def test_one_side_alone_is_no_size() -> None:
    with pytest.raises(InvalidInput, match="both"):
        filmed(answered(lambda _: httpx.Response(500)), shot(None, None, prompt="A cat.", height=0))


def test_it_needs_an_address() -> None:
    with pytest.raises(ValueError, match="VISUALIZR_REMOTE_URL"):
        VisualizrSettings(visualizr_model="remote-videos")


def test_a_film_is_given_up_before_chattr_orders_it_again() -> None:
    assert VisualizrSettings().visualizr_remote_longest < AtChattr().timeout
