"""The rendered dispatcher ends in the middle of a film that takes longer than its grace: another one finishes it."""

import asyncio
from pathlib import Path

import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.pods.installed import Operator
from tests.pods.town import built
from tests.waiting import eventually, until

pytestmark = pytest.mark.integration


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
def pods(tmp_path: Path) -> Path:
    (tmp_path / "pods").mkdir()
    return tmp_path / "pods"


async def test_a_film_is_handed_back_and_finished_by_another(
    operator: Operator, llm_server: FakeLLMServer, pods: Path, models_home: Path
) -> None:
    async with built(operator, llm_server, pods, models_home) as town:
        town.filmer.hold_at = 2
        leaving = await asyncio.to_thread(town.release.ready, "dispatcher")
        job = await town.order()
        await until(lambda: town.filmer.started == 1, 20)
        leaving.terminate()
        assert await asyncio.to_thread(leaving.ended) == 0, leaving.written()
        assert (await town.job(job))["status"] == "queued"
        town.filmer.released.set()
        await asyncio.to_thread(town.release.ready, "dispatcher", 1)

        async def done() -> bool:
            return bool((await town.job(job))["status"] == "completed")

        await eventually(done, 30)
        assert town.filmer.started == 2
