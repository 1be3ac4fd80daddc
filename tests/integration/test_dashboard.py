"""What Grafana's dashboard asks for is what the services measure."""

import json
import re
from pathlib import Path

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.three_services import three_services

pytestmark = pytest.mark.integration

DASHBOARD = json.loads((Path(__file__).parents[2] / "compose" / "grafana" / "chatacter.json").read_text("utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
METRIC = re.compile(r"\b\w+(?=\[)|(?<=\()chatacter_\w+(?=\))")
# A label that Prometheus adds: which service of compose.yaml was asked.
ADDED = {"service", "le"}


def test_every_query_finds_something(tmp_path: Path, redis_server: RedisServer, llm_server: FakeLLMServer) -> None:
    # Without a dispatcher the film waits, and is counted.
    with three_services(tmp_path, redis_server, llm_server, RUN_DISPATCHER="false") as services:
        chattr, vocalizr, _ = services
        question = {"model": "robin", "messages": [{"role": "user", "content": "Hello"}]}
        httpx.post(f"{chattr.url}/v1/chat/completions", json=question, timeout=30).raise_for_status()
        speech = {"model": "fake", "voice": "high", "input": "Hello"}
        httpx.post(f"{vocalizr.url}/v1/audio/speech", json=speech, timeout=30).raise_for_status()
        film = {"model": "portrait", "prompt": "Hello", "character": "robin"}
        httpx.post(f"{chattr.url}/v1/videos", json=film, timeout=30).raise_for_status()
        lines = "\n".join(httpx.get(f"{service.url}/metrics").text for service in services).splitlines()
    for query in QUERIES:
        metrics = METRIC.findall(query)
        assert metrics, query
        for metric in metrics:
            found = [line for line in lines if line.startswith(f"{metric}{{")]
            assert found, f"nobody measures {metric}"
            grouped = {label for by in re.findall(r"by \(([^)]*)\)", query) for label in by.split(", ")}
            assert all(f"{label}=" in found[0] for label in grouped - ADDED), f"{metric} lacks a label of {query}"
