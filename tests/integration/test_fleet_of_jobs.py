"""Jobs as a user meets them in a cluster: two Chattr behind a balancer without affinity, two dispatchers, a bucket."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, NotFoundError

from chatacter.chassis.errors import Busy, UpstreamFailed
from chatacter.contracts.video import Rendition
from chattr.adapters.fakes.media import FILM, FakeFilmer, FakeSpeaker
from tests.fake_llm_server import FakeLLMServer
from tests.gcs_server import GcsServer, environment
from tests.integration.test_job_doors import events_of
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import RedisServer, free_port
from tests.round_robin import balanced
from tests.scripted_chattr import settings
from tests.served import served
from tests.service_process import ServiceProcess, running, until_ready
from tests.waiting import eventually, until

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64
SOUND = {"audio_reference": "data:audio/wav;base64,UklGRg=="}
KEY = "inside-0123456789"
SECONDS = 20.0


@dataclass(frozen=True)
class Fleet:
    """The processes, which live for the whole module."""

    port: int
    chattrs: list[ServiceProcess]
    dispatchers: list[ServiceProcess]


@pytest.fixture(scope="module")
def fleet(
    redis_server: RedisServer,
    llm_server_of_this_run: FakeLLMServer,
    gcs_server: GcsServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Fleet]:
    folder, port = tmp_path_factory.mktemp("fleet"), free_port()
    behind = f"http://127.0.0.1:{port}"
    told = {
        "VOCALIZR__URL": behind,
        "VISUALIZR__URL": behind,
        "ASSETS_URL": f"gs://{gcs_server.bucket()}/media",
        "SERVICE_TOKEN": KEY,
        **environment(gcs_server),
    }
    asked = settings(redis_server, llm_server_of_this_run, **told)
    works = {"RECORDS__URL": redis_server.url, **told}
    with ExitStack() as stack:
        chattrs = [stack.enter_context(running("chattr", folder, asked, wait=False)) for _ in range(2)]
        dispatchers = [stack.enter_context(running("chattr.dispatcher", folder, works, wait=False)) for _ in range(2)]
        for process in (*chattrs, *dispatchers):
            until_ready(process)
        yield Fleet(port, chattrs, dispatchers)


@dataclass
class Town:
    """The fleet with predictors that a test plays on. `web` and `openai` ask through the balancer."""

    fleet: Fleet
    speaker: FakeSpeaker
    filmer: FakeFilmer
    seen: Seen
    web: httpx.AsyncClient
    openai: AsyncOpenAI

    async def order(self, **fields: Any) -> str:
        answer = await self.web.post("/v1/videos", json={**SOUND, **fields})
        return str(answer.raise_for_status().json()["id"])

    async def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.web.get(f"/api/v1/jobs/{job_id}")).raise_for_status().json()
        return found

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def over() -> bool:
            return (await self.job(job_id))["status"] in {"completed", "failed", "cancelled"}

        await eventually(over, SECONDS)
        return await self.job(job_id)


@pytest.fixture
async def town(fleet: Fleet, redis_url: str, llm_server: FakeLLMServer, tmp_path: Path) -> AsyncIterator[Town]:
    speaker, filmer, seen = FakeSpeaker(), FakeFilmer(), Seen()
    with balanced([chattr.url for chattr in fleet.chattrs]) as url:
        async with (
            served(predictor_app(speaker, filmer, seen), fleet.port),
            httpx.AsyncClient(base_url=url, timeout=30) as web,
            AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as openai,
        ):
            yield Town(fleet, speaker, filmer, seen, web, openai)
            filmer.released.set()
            speaker.released.set()


async def test_openai_s_client_walks_through_all_of_videos(town: Town) -> None:
    for variant, kind in (("thumbnail", "image/jpeg"), ("spritesheet", "image/png")):
        data = base64.b64encode(variant.encode()).decode()
        town.filmer.renditions.append(Rendition(variant=variant, media_type=kind, data=data))  # type: ignore[arg-type]
    ordered = await town.openai.videos.create(prompt="By form.", input_reference=("me.png", PNG), size="720x1280")
    in_json = await town.web.post("/v1/videos", json={"model": "portrait", "prompt": "By JSON.", "character": "ada"})
    assert in_json.headers["openai-poll-after-ms"] == "500"
    films = [await town.openai.videos.poll(each) for each in (ordered.id, in_json.json()["id"])]
    assert [(film.status, film.progress, film.size) for film in films] == [("completed", 100, "512x512")] * 2
    assert base64.b64decode(town.filmer.requests[0].image_reference.partition(",")[2]) == PNG
    for variant, content in (("video", FILM), ("thumbnail", b"thumbnail"), ("spritesheet", b"spritesheet")):
        for _ in range(2):  # on each replica
            got = await town.openai.videos.download_content(ordered.id, variant=variant)  # type: ignore[arg-type]
            assert await got.aread() == content
    remixed = await town.openai.videos.remix(ordered.id, prompt="Again.")
    assert (await town.openai.videos.poll(remixed.id)).remixed_from_video_id == ordered.id
    assert town.filmer.requests[-1].image_reference == town.filmer.requests[0].image_reference
    ids = [ordered.id, films[1].id, remixed.id]
    assert [film.id async for film in town.openai.videos.list(limit=1, order="asc")] == ids
    assert [film.id async for film in town.openai.videos.list(limit=2)] == ids[::-1]
    assert [film.id for film in (await town.openai.videos.list(after=ids[0], order="asc")).data] == ids[1:]
    assert (await town.openai.videos.delete(ordered.id)).deleted
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await town.openai.videos.retrieve(ordered.id)
    assert (await town.web.get(f"/api/v1/media/{ordered.id}-1")).status_code == 404
    done = await town.openai.videos.create_and_poll(prompt="To its end.")
    assert done.status == "completed"


async def test_a_stream_of_events_goes_on_over_another_replica(town: Town) -> None:
    town.filmer.hold_at = 2
    town.filmer.lost_at = (3, UpstreamFailed("Lost."))
    job_id = await town.order()
    one, other = (f"{chattr.url}/api/v1/jobs/{job_id}/events" for chattr in town.fleet.chattrs)
    told: list[tuple[str, str, dict[str, Any]]] = []
    async with httpx.AsyncClient(timeout=30) as web:
        async with web.stream("GET", one) as answer:
            async for event in events_of(answer):
                told.append(event)
                if event[2].get("progress", 0) > 0.3:
                    break
        town.filmer.hold_at = None
        town.filmer.released.set()
        await until(lambda: town.filmer.stopped == 1, SECONDS)
        town.filmer.lost_at = None
        async with web.stream("GET", other, headers={"last-event-id": told[-1][0]}) as answer:
            told += [event async for event in events_of(answer)]
    steps = [(kind, data) for event_id, kind, data in told if event_id]
    assert len({event_id for event_id, _, _ in told if event_id}) == len(steps)
    assert [kind for kind, _ in steps][-1] == "job.completed"
    for attempt in (1, 2):  # what failed is begun anew: within each attempt progress never falls
        progress = [data["progress"] for kind, data in steps if kind == "job.running" and data["attempts"] == attempt]
        assert progress == sorted(progress)
        assert progress[0] == 0.0
    again = [data for kind, data in steps if kind == "job.queued"][-1]
    assert (again["attempts"], again["progress"]) == (1, 0.0)
    outcomes = [(each["outcome"], each["fence"]) for each in (await town.job(job_id))["history"]]
    assert outcomes == [("failed", 1), ("completed", 2)]


async def everywhere(town: Town, model: str) -> list[float]:
    """What each process says is outstanding of one model, all asked at the same moment."""
    line = re.compile(rf'^chatacter_jobs_outstanding\{{[^}}]*chatacter_model="{model}"[^}}]*\}} (\S+)$', re.MULTILINE)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(timeout=30, headers=headers) as web:
        processes = [*town.fleet.chattrs, *town.fleet.dispatchers]
        asked = [web.get(f"{process.url}/metrics") for process in processes]
        asked += [web.get(f"{chattr.url}/api/v1/demand?model={model}") for chattr in town.fleet.chattrs]
        *pages, one, other = [answer.raise_for_status() for answer in await asyncio.gather(*asked)]
    gauges = [float(found[1]) if (found := line.search(page.text)) else 0.0 for page in pages]
    return [*gauges, *(float(each.json()["outstanding"]) for each in (one, other))]


async def test_every_process_tells_the_same_number_of_outstanding_jobs(town: Town) -> None:
    town.filmer.hold_at = town.speaker.hold_at = 1
    ids = [await town.order() for _ in range(6)]
    chapter = {"model": "kokoro", "voice": "af_heart", "input": "It rained."}
    spoken = (await town.web.post("/api/v1/jobs/speech", json=chapter)).raise_for_status().json()["id"]
    await until(lambda: town.filmer.started == 2 and town.speaker.started == 1, SECONDS)
    assert await everywhere(town, "portrait") == [6.0] * 6, "two run, four are queued"
    assert await everywhere(town, "kokoro") == [1.0] * 6
    places = [(await town.job(each)).get("position") for each in ids]
    assert sorted(place for place in places if place) == [1, 2, 3, 4]
    await town.web.post(f"/api/v1/jobs/{ids[-1]}/cancel")
    assert await everywhere(town, "portrait") == [5.0] * 6
    town.filmer.hold_at = town.speaker.hold_at = None
    town.filmer.released.set()
    town.speaker.released.set()
    for job_id in [*ids, spoken]:
        await town.ended(job_id)
    assert await everywhere(town, "portrait") == [0.0] * 6
    assert await everywhere(town, "kokoro") == [0.0] * 6
    assert {(await town.job(each))["status"] for each in ids[:-1]} == {"completed"}
    told = (await town.job(await town.order()))["estimate"]
    assert told["samples"] == 5
    assert told["ends_in"] >= told["begins_in"] >= 0


async def test_a_busy_predictor_is_asked_again_over_a_new_connection(town: Town) -> None:
    town.filmer.refusals += [Busy("Full.", retry_after=0.05)] * 3
    done = await town.ended(await town.order())
    assert (done["status"], done["attempts"]) == ("completed", 1)
    films = [peer for peer, path in zip(town.seen.peers, town.seen.paths, strict=True) if "video" in path]
    assert (len(films), len({*films})) == (4, 4)


async def test_one_key_on_two_replicas_at_once_is_one_job(town: Town) -> None:
    order = {**SOUND, "seed": 7}
    async with httpx.AsyncClient(timeout=30, headers={"idempotency-key": "once"}) as web:
        asked = [web.post(f"{chattr.url}/v1/videos", json=order) for chattr in town.fleet.chattrs * 3]
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in answers} <= {200, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 200}
    assert len(made) == 1
    assert len((await town.openai.videos.list()).data) == 1
    await town.ended(made.pop())
    assert town.filmer.started == 1


async def test_a_signed_address_opens_on_either_replica(town: Town) -> None:
    job_id = await town.order()
    await town.ended(job_id)
    link = (await town.web.post(f"/api/v1/media/{job_id}-1/link", json={"expires_in": 60})).raise_for_status().json()
    for _ in range(2):
        assert (await town.web.get(link["url"])).content == FILM
        assert (await town.web.get(link["url"], headers={"range": "bytes=2-5"})).content == FILM[2:6]
    changed = link["url"].replace("tenant=default", "tenant=other")
    assert (await town.web.get(changed)).status_code == 401
