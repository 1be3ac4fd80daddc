"""Chattr without models of its own: the language model is scripted, memory is off, the predictors sleep."""

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer


def settings(redis: RedisServer, llm: FakeLLMServer, **more: str) -> dict[str, str]:
    """What such a Chattr is told."""
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
