"""A chapter ordered as a job, said by Kokoro passage by passage, and listened to from its beginning to its end."""

import json
import logging
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from chattr.domain.passages import passages
from tests.fake_llm_server import FakeLLMServer
from tests.listening import Listener, decoded
from tests.redis_server import RedisServer
from tests.scripted_chattr import settings
from tests.service_process import running

pytestmark = pytest.mark.e2e

# Shown by `pytest -o log_cli=true --log-cli-level=INFO`.
measured = logging.getLogger("measured")

CHAPTER = (Path(__file__).parents[1] / "data" / "chapter.txt").read_text().strip()
MOST_WRONG = 0.06
# Seconds: nowhere between two passages is it silent for longer, nor cut off in the middle of a sound.
LONGEST_SILENCE = 1.5


@pytest.fixture
def door(
    redis_server: RedisServer, redis_url: str, llm_server: FakeLLMServer, tmp_path: Path, models_home: Path
) -> Iterator[httpx.Client]:
    home = {"CHATACTER_HOME": str(models_home.parent)}
    with running("vocalizr", tmp_path, home) as vocalizr:
        given = settings(redis_server, llm_server, VOCALIZR__URL=vocalizr.url, RUN_DISPATCHER="true")
        with (
            running("chattr", tmp_path, given | {"ENABLE_VIDEO_GENERATION": "false"}) as chattr,
            httpx.Client(base_url=chattr.url, timeout=60, trust_env=False) as client,
        ):
            yield client


def followed(door: httpx.Client, job_id: str) -> list[float]:
    """How far it was at each step that was told, to its end."""
    with door.stream("GET", f"/api/v1/jobs/{job_id}/events", timeout=600) as stream:
        told = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    return [each["progress"] for each in told if "progress" in each]


def longest_silence(samples: Any, rate: int) -> float:
    """In seconds, between the first and the last sound."""
    loud = np.flatnonzero(np.abs(samples) > 0.01) / rate
    return max(float(after - before) for before, after in pairwise(loud))


@pytest.mark.timeout(900)
def test_every_word_of_a_chapter_is_heard(door: httpx.Client, listener: Listener) -> None:
    assert len(list(passages(CHAPTER))) == 2, "what a chapter is about: more than is said in one go"
    order = {"model": "kokoro", "voice": "af_heart", "input": CHAPTER, "response_format": "mp3"}
    began = time.monotonic()
    made = door.post("/api/v1/jobs/speech", json=order).raise_for_status().json()
    steps = followed(door, made["id"])
    assert steps == sorted(steps)
    assert steps[-1] == 1.0
    assert any(0 < step < 0.98 for step in steps), "its progress is told between its passages"
    content = door.get(f"/api/v1/jobs/{made['id']}/content").raise_for_status()
    assert content.headers["content-type"] == "audio/mpeg"
    samples, rate = decoded(content.content)
    took = time.monotonic() - began
    wrong, silence = listener.word_error_rate(CHAPTER, samples, rate), longest_silence(samples, rate)
    measured.info(
        "%d characters, %.0f s of sound in %.0f s; %.1f %% of words wrong; longest silence %.2f s",
        len(CHAPTER),
        len(samples) / rate,
        took,
        100 * wrong,
        silence,
    )
    assert wrong < MOST_WRONG
    assert silence < LONGEST_SILENCE
