"""The dispatcher over real connections: the trace, a new connection after 429, the hang-up, Redis coming back."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from opentelemetry import trace

from chatacter.chassis.errors import Busy
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_jobs import RedisJobs
from chattr.adapters.visualizr_http import VisualizrHttp
from chattr.adapters.vocalizr_http import VocalizrHttp
from chattr.dispatcher import Pace
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import started
from tests.served import served
from tests.studio import ANNA, Studio
from tests.waiting import until

pytestmark = pytest.mark.integration


async def test_the_trace_goes_from_the_request_through_the_job_into_the_predictors(studio: Studio) -> None:
    seen = Seen()
    with studio.tracer.start_as_current_span("POST /v1/videos") as asked:
        video = await studio.order()
    async with (
        served(predictor_app(studio.speaker, studio.filmer, seen)) as url,
        VocalizrHttp(url) as vocalizr,
        VisualizrHttp(url) as visualizr,
    ):
        studio.start(studio.dispatcher(speaker=vocalizr, filmer=visualizr))
        await studio.reached(video.id, "completed")
        await until(lambda: any(span.name == "job video" for span in studio.spans.get_finished_spans()))
    (job_span,) = [span for span in studio.spans.get_finished_spans() if span.name == "job video"]
    parent = asked.get_span_context()
    assert job_span.parent is not None
    assert (job_span.parent.trace_id, job_span.parent.span_id) == (parent.trace_id, parent.span_id)
    assert job_span.kind is trace.SpanKind.CONSUMER
    own = f"00-{parent.trace_id:032x}-{job_span.context.span_id:016x}"
    assert [headers["traceparent"].rpartition("-")[0] for headers in seen.headers] == [own, own]


async def test_a_429_is_retried_on_a_new_connection(studio: Studio) -> None:
    seen = Seen()
    studio.filmer.refusals += [Busy("Full.", retry_after=0.05)] * 2
    async with (
        served(predictor_app(studio.speaker, studio.filmer, seen)) as url,
        VisualizrHttp(url) as visualizr,
    ):
        studio.start(studio.dispatcher(filmer=visualizr))
        video = await studio.order()
        await studio.reached(video.id, "completed")
    assert len(seen.peers) == 3
    assert len(set(seen.peers)) == 3


async def test_a_deleted_job_hangs_up_on_the_predictor(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    async with (
        served(predictor_app(studio.speaker, studio.filmer, Seen())) as url,
        VisualizrHttp(url) as visualizr,
    ):
        studio.start(studio.dispatcher(filmer=visualizr))
        video = await studio.order()
        await studio.reached(video.id, "filming")
        await studio.film.delete(ANNA, video.id)
        await until(lambda: studio.filmer.stopped == 1)
    assert studio.filmer.finished == 0


async def test_a_finished_film_waits_for_redis_to_come_back() -> None:
    with started(appendfsync="always") as server:
        async with connected(server.url) as redis, AsyncExitStack() as stack:
            studio = Studio(RedisJobs(redis), stack)
            studio.filmer.hold_at = 1
            studio.start(studio.dispatcher(pace=Pace(lease=20, heartbeat=0.05)))
            video = await studio.order()
            await studio.reached(video.id, "filming")
            server.kill()
            await asyncio.sleep(0.3)  # heartbeats fail meanwhile
            server.start()
            studio.filmer.released.set()
            async with asyncio.timeout(10):
                while studio.jobs.completed != [video.id]:
                    await asyncio.sleep(0.02)
            assert studio.filmer.started == 1  # nothing was done twice
            await redis.connection_pool.disconnect()
            assert (await studio.job(video.id)).status == "completed"
