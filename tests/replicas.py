"""Two Chattr processes on one Redis, with a scripted language model."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running


def settings(redis: RedisServer, llm: FakeLLMServer, **more: str) -> dict[str, str]:
    """Chattr without models of its own: the language model is scripted, memory is off, the predictors sleep."""
    return {
        "RECORDS__URL": redis.url,
        "MODEL__URL": llm.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "VOCALIZR__URL": "http://127.0.0.1:9",
        "VISUALIZR__URL": "http://127.0.0.1:9",
        "RUN_DISPATCHER": "false",
        "ENABLE_UI": "false",
        **more,
    }


@contextmanager
def pair(redis: RedisServer, llm: FakeLLMServer, folder: Path, **more: str) -> Iterator[list[ServiceProcess]]:
    """Start both."""
    given = settings(redis, llm, **more)
    with running("chattr", folder, given) as one, running("chattr", folder, given) as other:
        yield [one, other]
