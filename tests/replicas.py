"""Two Chattr processes on one Redis, with a scripted language model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running


@contextmanager
def pair(redis: RedisServer, llm: FakeLLMServer, folder: Path, **more: str) -> Iterator[list[ServiceProcess]]:
    """Start both."""
    given = settings(redis, llm, **more)
    with running("chattr", folder, given) as one, running("chattr", folder, given) as other:
        yield [one, other]
