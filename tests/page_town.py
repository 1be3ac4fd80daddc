"""All that the page can show, as real processes without weights but the embedder's: memory, summaries, own voices."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.served import served
from tests.service_process import ServiceProcess, running
from tests.three_services import ROBIN
from tests.tone_people import ears
from tests.vocalizr_server import until_answered, vocalizr_of
from vocalizr.backends.fake import FakeSpeech


@contextmanager
def studio(store: Path, *, cloning: bool = True) -> Iterator[str]:
    """Vocalizr in a thread of this process: it speaks in beeps, and clones people whose voices are tones."""
    app = vocalizr_of(FakeSpeech(cloning=cloning), ears(), vocalizr_voices_url=store.as_uri())
    ready, over = threading.Event(), threading.Event()
    urls: list[str] = []

    async def serve() -> None:
        async with served(app) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await until_answered(client, "/readyz", "200")
            urls.append(url)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield urls[0]
    finally:
        over.set()
        thread.join(30)


@contextmanager
def page_town(
    folder: Path, redis: RedisServer, llm: FakeLLMServer, models_home: Path, **more: str
) -> Iterator[ServiceProcess]:
    """Start them and wait until they are ready; yields Chattr."""
    (folder / "robin.yaml").write_text(ROBIN)
    (folder / "home").mkdir()
    (folder / "home" / "models").symlink_to(models_home)
    with studio(folder / "voices") as vocalizr:
        settings = {
            "RECORDS__URL": redis.url,
            "MODEL__URL": llm.url,
            "MODEL__NAME": "scripted",
            "VOCALIZR__URL": vocalizr,
            "VOCALIZR__MODEL": "fake",
            "ENABLE_VIDEO_GENERATION": "false",
            "CHARACTER_CONFIG_PATH": str(folder / "robin.yaml"),
            "DEFAULT_CHARACTER": "robin",
            "SHORT_TERM_MEMORY__MAX_SIZE": "8",
            "MEMORY__EXTRACTION": "off",
            **more,
        }
        with running("chattr", folder, settings) as chattr:
            yield chattr
