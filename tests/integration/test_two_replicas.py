"""Two Chattr processes behind a balancer without affinity, one Redis: no client needs to meet the same one twice."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.replicas import pair
from tests.round_robin import balanced
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def replicas(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    with pair(redis_server, llm_server_of_this_run, tmp_path_factory.mktemp("replicas")) as started:
        yield started


@pytest.fixture
def client(replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer) -> Iterator[httpx.Client]:
    with balanced([replica.url for replica in replicas]) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


def events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Read server-sent events; each has its number as `id`."""
    number = 0
    for line in lines:
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            yield {"id": number, **json.loads(line[6:])}


def test_a_conversation_goes_on_whichever_replica_answers(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    met = set()
    for text in ("My dog is called Biscuit.", "And my cat is Marmalade.", "What are they called?"):
        answer = client.post("/api/v1/chat/message", json={"message": text, "session_id": "pets"})
        assert answer.status_code == 200, answer.text
        met.add(answer.headers["x-replica"])
    assert met == {"0", "1"}
    prompt = llm_server.requests[-1].prompt
    assert "Biscuit" in prompt
    assert "Marmalade" in prompt
    histories = [client.get("/api/v1/chat/history/pets").json() for _ in range(2)]
    assert histories[0] == histories[1]
    assert [message["role"] for message in histories[0]["messages"]] == ["user", "assistant"] * 3


def test_a_live_reply_is_resumed_on_the_other_replica(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    words = [f"word{number} " for number in range(30)]
    llm_server.play(*words, delay=0.03)
    heard: list[str] = []
    with client.stream("POST", "/api/v1/chat/message", json={"message": "Go on.", "stream": True}) as stream:
        writer = stream.headers["x-replica"]
        for event in events(stream.iter_lines()):
            if event["type"] == "reply.created":
                reply_id = event["reply_id"]
            elif event["type"] == "reply.delta":
                heard.append(event["text"])
            if len(heard) == 5:
                last = event["id"]
                break
    address = f"/api/v1/chat/replies/{reply_id}/events"
    with client.stream("GET", address, headers={"last-event-id": str(last)}) as stream:
        assert stream.headers["x-replica"] != writer
        rest = list(events(stream.iter_lines()))
    assert "".join([*heard, *(event["text"] for event in rest[:-1])]) == "".join(words)
    assert rest[-1]["type"] == "reply.completed"
    assert [event["id"] for event in rest] == list(range(last + 1, last + 1 + len(rest)))
    assert llm_server.counts["disconnected"] == 0


def test_a_reply_is_cancelled_from_the_other_replica(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    llm_server.play(*["word "] * 500, delay=0.05)
    question = {"message": "Go on.", "stream": True, "session_id": "stopped"}
    with client.stream("POST", "/api/v1/chat/message", json=question) as stream:
        lines = events(stream.iter_lines())
        reply_id = next(lines)["reply_id"]
        seen: list[str] = []
        for event in lines:
            seen.append(event["type"])
            if len(seen) == 3:
                answer = client.post(f"/api/v1/chat/replies/{reply_id}/cancel")
                assert answer.status_code == 202
                assert answer.headers["x-replica"] != stream.headers["x-replica"]
    assert seen[-1] == "reply.cancelled"
    assert seen.count("reply.delta") < 100
    assert asyncio.run(llm_server.reached("disconnected"))
    messages = client.get("/api/v1/chat/history/stopped").json()["messages"]
    assert messages[-1]["status"] == "cancelled"
    assert messages[-1]["content"].startswith("word ")
    ended = client.get(f"/api/v1/chat/replies/{reply_id}/events", headers={"last-event-id": str(event["id"])})
    assert (ended.status_code, ended.text) == (200, "")


@pytest.mark.parametrize("number", ["-1", "99999999999999999999"])
def test_a_number_that_no_event_has_is_a_mistake(client: httpx.Client, number: str) -> None:
    for query, headers in (({"after": number}, {}), ({}, {"last-event-id": number})):
        assert client.get("/api/v1/chat/replies/reply_1/events", params=query, headers=headers).status_code == 422


def test_a_conversation_s_inner_keys_are_no_conversations(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    client.post("/api/v1/chat/message", json={"message": "Hello", "session_id": "inner"}).raise_for_status()
    for inner in ("inner:messages", "inner:order"):
        assert client.get(f"/api/v1/conversations/{inner}").status_code == 404
        assert client.delete(f"/api/v1/conversations/{inner}").status_code == 404


def test_an_openai_client_that_hangs_up_stops_the_model(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    llm_server.play(*["word "] * 500, delay=0.05)
    openai = OpenAI(base_url=f"{client.base_url}/v1", api_key="any", max_retries=0)
    with openai.chat.completions.create(
        model="ada", messages=[{"role": "user", "content": "Go on."}], stream=True
    ) as stream:
        next(iter(stream))
    assert asyncio.run(llm_server.reached("disconnected"))


async def test_a_client_that_waits_for_the_whole_answer_and_leaves_stops_the_model(
    replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer
) -> None:
    llm_server.play(*["word "] * 5000, delay=0.05)
    question = {"model": "ada", "messages": [{"role": "user", "content": "Go on."}]}
    async with httpx.AsyncClient(base_url=replicas[0].url, timeout=None) as client:
        asking = asyncio.create_task(client.post("/v1/chat/completions", json=question))
        assert await llm_server.reached("deltas")
        asking.cancel()
        assert await llm_server.reached("disconnected")


def test_a_post_repeated_with_its_key_is_answered_once(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    question = {"message": "Only once.", "session_id": "once"}
    answers = [
        client.post("/api/v1/chat/message", json=question, headers={"idempotency-key": "key-1"}) for _ in range(2)
    ]
    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert answers[0].headers["x-replica"] != answers[1].headers["x-replica"]
    assert len(llm_server.requests) == 1
    other = client.post("/api/v1/chat/message", json={"message": "Else."}, headers={"idempotency-key": "key-1"})
    assert other.status_code == 422
    streamed = {**question, "stream": True, "session_id": "once-more"}
    bodies = [
        client.post("/api/v1/chat/message", json=streamed, headers={"idempotency-key": "key-2"}).text for _ in range(2)
    ]
    assert bodies[0] == bodies[1]
    assert "reply.completed" in bodies[0]


def test_a_character_made_on_one_replica_answers_on_the_other(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    made = client.post(
        "/api/v1/characters",
        json={
            "id": "my_character",
            "name": "My Character",
            "personality": "Friendly and helpful",
            "system_prompt": "You are a friendly assistant...",
        },
    )
    assert made.status_code == 201
    for _ in range(2):
        answer = client.post(
            "/v1/chat/completions",
            json={"model": "my_character", "messages": [{"role": "user", "content": "Hello"}]},
        )
        assert answer.status_code == 200
    assert "You are a friendly assistant..." in llm_server.requests[-1].prompt
    assert client.delete("/api/v1/characters/my_character").status_code == 204
    assert client.get("/v1/models/my_character").status_code == 404


def test_a_job_ordered_on_one_replica_is_read_and_removed_on_the_other(client: httpx.Client) -> None:
    ordered = client.post("/v1/videos", json={"model": "portrait", "prompt": "Good evening."}).raise_for_status()
    address = f"/v1/videos/{ordered.json()['id']}"
    read = client.get(address)
    assert read.headers["x-replica"] != ordered.headers["x-replica"]
    assert read.json() == ordered.json()
    assert read.json()["status"] == "queued"
    client.delete(address).raise_for_status()
    assert [client.get(address).status_code for _ in range(2)] == [404, 404]


def test_a_page_of_another_site_opens_no_live_session(replicas: list[ServiceProcess]) -> None:
    address = replicas[0].url.replace("http", "ws") + "/api/v1/ws/chat"
    with pytest.raises(InvalidStatus), connect(address, origin="https://evil.example"):
        pass
    with connect(address, origin="http://localhost:8000"):
        pass


def test_a_live_session_goes_on_over_another_socket(
    replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer
) -> None:
    words = [f"word{number} " for number in range(20)]
    llm_server.play(*words, delay=0.05)
    one, two = (replica.url.replace("http", "ws") + "/api/v1/ws/chat" for replica in replicas)
    with connect(one) as socket:
        socket.send(b"\x00")
        assert json.loads(socket.recv(timeout=60))["type"] == "error"
        socket.send(json.dumps({"type": "message.create", "message": "Go on.", "character": "mira"}))
        frames = [json.loads(socket.recv(timeout=60)) for _ in range(4)]
    with connect(two) as socket:
        resume = {"type": "reply.resume", "reply_id": frames[0]["reply_id"], "after": frames[-1]["seq"]}
        socket.send(json.dumps(resume))
        while frames[-1]["type"] != "reply.completed":
            frames.append(json.loads(socket.recv(timeout=60)))
    assert "".join(frame["text"] for frame in frames if frame["type"] == "reply.delta") == "".join(words)
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))


def test_a_socket_carries_a_few_replies_at_a_time(
    replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer
) -> None:
    llm_server.play(*["word "] * 400, delay=0.1)
    with connect(replicas[0].url.replace("http", "ws") + "/api/v1/ws/chat") as socket:
        for _ in range(9):
            socket.send(json.dumps({"type": "message.create", "message": "Go on.", "character": "ada"}))
        frames = [json.loads(socket.recv(timeout=60))]
        while frames[-1]["type"] != "error":
            frames.append(json.loads(socket.recv(timeout=60)))
        assert frames[-1]["code"] == "busy"
        opened = {frame["reply_id"] for frame in frames if frame["type"] == "reply.created"}
        while len(opened) < 8:
            frame = json.loads(socket.recv(timeout=60))
            opened |= {frame["reply_id"]} if frame["type"] == "reply.created" else set()
        for reply_id in opened:
            socket.send(json.dumps({"type": "reply.cancel", "reply_id": reply_id}))
        ended = 0
        while ended < 8:
            ended += json.loads(socket.recv(timeout=60))["type"] == "reply.cancelled"


def test_a_writer_that_dies_is_told_to_whoever_follows(
    redis_server: RedisServer, redis_url: str, llm_server: FakeLLMServer, replicas: list[ServiceProcess], tmp_path: Path
) -> None:
    llm_server.play(*["word "] * 500, delay=0.05)
    with running("chattr", tmp_path, settings(redis_server, llm_server)) as doomed:
        question = {"message": "Go on.", "stream": True}
        with httpx.stream("POST", f"{doomed.url}/api/v1/chat/message", json=question, timeout=60) as stream:
            opening = next(events(stream.iter_lines()))
            doomed.process.kill()
    address = f"{replicas[0].url}/api/v1/chat/replies/{opening['reply_id']}/events"
    with httpx.stream("GET", address, timeout=60) as stream:
        last = list(events(stream.iter_lines()))[-1]
    assert last["type"] == "reply.failed"
    assert last["code"] == "writer_lost"


def test_a_reply_finishes_when_its_replica_is_asked_to_stop(
    redis_server: RedisServer, redis_url: str, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    llm_server.play(*["word "] * 20, delay=0.05)
    with running("chattr", tmp_path, settings(redis_server, llm_server)) as leaving:
        question = {"message": "Go on.", "stream": True}
        with httpx.stream("POST", f"{leaving.url}/api/v1/chat/message", json=question, timeout=60) as stream:
            lines = events(stream.iter_lines())
            next(lines)
            leaving.process.terminate()
            rest = list(lines)
    assert rest[-1]["type"] == "reply.completed"
    assert llm_server.counts["finished"] == 1
