"""SIGTERM, and somebody who leaves, while a process speaks in batches: the others are said to their ends."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.service_process import running
from vocalizr.backend import Utterance
from vocalizr.backends.fake import FakeSpeech
from vocalizr.clauses import stretches

pytestmark = pytest.mark.integration

STORIES = [f"Story {number}, told slowly and in many clauses. " * 60 for number in range(6)]
VOICES = ("high", "low")
CLOSING_SECONDS = 15.0
# What Ray's handler, if it stood, would leave us after SIGTERM, and a little more.
RAYS_OWN_SECONDS = 3.5


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder that makes the fake which speaks together known by a name of the test's own."""
    folder = tmp_path / "site" / "batches-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: batches\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[chatacter.speech]\nbatches = vocalizr.backends.fake:create_together\n")
    return folder.parent


def said(number: int, engine: str) -> bytes:
    """What is heard of a story that is told alone: as a whole, or by Ray in stretches."""
    parts = stretches(STORIES[number]) if engine == "ray" else [STORIES[number]]
    told = [Utterance(part, VOICES[number % 2], 1.0, None, None) for part in parts]
    chunks = [chunk for one in told for chunk in FakeSpeech().speak(one, threading.Event())]
    return np.rint(np.concatenate([chunk.samples for chunk in chunks]) * 32767).astype("<i2").tobytes()


def counted(url: str, what: str) -> float:
    """Pieces spoken (`sum`) in batches (`count`)."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(
        float(line.split()[-1]) for line in lines if line.startswith(f"chatacter_inference_batch_size_{what}{{")
    )


@pytest.mark.parametrize("engine", ["inprocess", "ray"])
def test_what_is_spoken_together_is_said_to_its_end(site: Path, tmp_path: Path, engine: str) -> None:
    settings = {"VOCALIZR_MODEL": "batches", "PYTHONPATH": str(site), "SHUTDOWN_GRACE": "60"}
    if engine == "ray":
        pytest.importorskip("ray")
        settings |= {"VOCALIZR_ENGINE": "ray", "RAY_REPLICA_CPUS": "0.1"}
    with running("vocalizr", tmp_path, settings) as vocalizr, ExitStack() as stack:
        answers = []
        for number, story in enumerate(STORIES):
            body = {"model": "batches", "voice": VOICES[number % 2], "input": story, "response_format": "pcm"}
            asked = httpx.stream("POST", f"{vocalizr.url}/v1/audio/speech", json=body, timeout=60)
            answers.append(stack.enter_context(asked))
        told = [answer.iter_bytes() for answer in answers]
        heard = [next(pieces) for pieces in told]
        if engine == "inprocess":
            assert counted(vocalizr.url, "sum") > counted(vocalizr.url, "count") > 0
        vocalizr.process.send_signal(signal.SIGTERM)
        answers.pop().close()
        told.pop()
        if engine == "ray":
            assert vocalizr.process.poll() is None
            threading.Event().wait(RAYS_OWN_SECONDS)
        with ThreadPoolExecutor(len(told)) as listeners:
            rest = list(listeners.map(b"".join, told))
        assert vocalizr.process.wait(60 + CLOSING_SECONDS) == 0
    for number, sound in enumerate(rest):
        assert heard[number] + sound == said(number, engine)
    assert "Traceback" not in vocalizr.written()
