"""Chattr, Vocalizr and Visualizr as processes with backends that need no model, and one character that they know."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running

ROBIN = """\
id: robin
name: Robin Tester
description: Plays in tests only.
voice: high
portrait: mira
system_prompt: You play Robin.
greetings: [Good day. I am Robin.]
"""


@contextmanager
def three_services(
    folder: Path, redis: RedisServer, llm: FakeLLMServer, **more: str
) -> Iterator[tuple[ServiceProcess, ServiceProcess, ServiceProcess]]:
    """Start them and wait until they are ready; yields Chattr, Vocalizr, Visualizr."""
    (folder / "robin.yaml").write_text(ROBIN)
    voice = {"VOCALIZR_MODEL": "fake"}
    camera = {"VISUALIZR_MODEL": "fake", "VISUALIZR_SERVED_NAME": "portrait"}
    with running("vocalizr", folder, voice) as vocalizr, running("visualizr", folder, camera) as visualizr:
        settings = {
            "RECORDS__URL": redis.url,
            "MODEL__URL": llm.url,
            "MODEL__NAME": "scripted",
            "VOCALIZR__URL": vocalizr.url,
            "VOCALIZR__MODEL": "fake",
            "VISUALIZR__URL": visualizr.url,
            "CHARACTER_CONFIG_PATH": str(folder / "robin.yaml"),
            "DEFAULT_CHARACTER": "robin",
            "ENABLE_LONG_TERM_MEMORY": "false",
            **more,
        }
        with running("chattr", folder, settings) as chattr:
            yield chattr, vocalizr, visualizr
