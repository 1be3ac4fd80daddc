"""What a client says to an installed Chattr, and how it judges the answers."""

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

SMALL = {"size": "256x256"}


def streamed(lines: Iterator[str]) -> Iterator[str]:
    """The text of an OpenAI stream, piece by piece. Fails when the stream does not end as it should."""
    for line in lines:
        if line == "data: [DONE]":
            return
        if line.startswith("data: "):
            for choice in json.loads(line[6:])["choices"]:
                yield choice["delta"].get("content") or ""
    pytest.fail("the stream broke off")


def chat(text: str) -> dict[str, Any]:
    return {"model": "ada", "stream": True, "messages": [{"role": "user", "content": text}]}


def film_of(client: httpx.Client, order: dict[str, Any], until: set[str], seconds: float = 120) -> dict[str, Any]:
    """Wait until a job of that id has such a status."""
    end = time.monotonic() + seconds
    while (video := client.get(f"/v1/videos/{order['id']}").raise_for_status().json())["status"] not in until:
        assert time.monotonic() < end, video
        time.sleep(0.1)
    return dict(video)


def frames_of(content: bytes) -> int:
    import av

    film: Any = av.open(io.BytesIO(content))
    with film:
        return sum(1 for _ in film.decode(video=0))


def filming(client: httpx.Client, video: str, seconds: float = 60) -> None:
    """Wait until Visualizr is at work on it."""
    end = time.monotonic() + seconds
    while (job := client.get(f"/api/v1/jobs/{video}").raise_for_status().json())["phase"] != "filming":
        assert time.monotonic() < end, job
        time.sleep(0.02)
