"""A conversation's tree over HTTP and WebSocket, before two replicas behind a balancer without affinity."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis
from websockets.sync.client import connect

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.replicas import pair
from tests.round_robin import balanced
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.integration

HOST = {
    "id": "host",
    "name": "Mr Host",
    "nickname": "Host",
    "personality": "Polite.",
    "greetings": ["Welcome, {{user}}! I am {{char}}.", "Ah, {{user}} again."],
}


@pytest.fixture(scope="module")
def replicas(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    with pair(redis_server, llm_server_of_this_run, tmp_path_factory.mktemp("tree")) as started:
        yield started


@pytest.fixture
def client(replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer) -> Iterator[httpx.Client]:
    with balanced([replica.url for replica in replicas]) as url, httpx.Client(base_url=url, timeout=60) as made:
        made.post("/api/v1/characters", json=HOST).raise_for_status()
        yield made


class Talk:
    """One conversation, as a client has it."""

    def __init__(self, client: httpx.Client, **begun: Any) -> None:
        self.client = client
        answer = client.post("/api/v1/conversations", json={"character": "host", **begun}).raise_for_status()
        self.id = answer.json()["id"]
        self.home = answer.headers["location"]

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        return dict(self.client.post(f"{self.home}{path}", json=body).raise_for_status().json())

    def read(self) -> dict[str, Any]:
        return dict(self.client.get(self.home).raise_for_status().json())

    def named(self, content: str) -> dict[str, Any]:
        return next(message for message in self.read()["messages"] if message["content"] == content)

    def active(self) -> list[str]:
        messages = self.client.get(f"/api/v1/chat/history/{self.id}").raise_for_status().json()["messages"]
        return [message["content"] for message in messages]


def test_a_conversation_is_shown_before_it_is_begun_and_opens_in_the_same_words(client: httpx.Client) -> None:
    riddler = {
        "id": "riddler",
        "name": "Riddler",
        "personality": "Sly.",
        "greetings": ["{{random::a,b,c,d,e,f,g,h}}{{random::1,2,3,4,5,6,7,8}}", "Or not."],
    }
    client.post("/api/v1/characters", json=riddler).raise_for_status()
    body = {"characters": ["riddler"], "greeting": 1}
    shown = client.post("/api/v1/conversations:preview", json=body).raise_for_status().json()
    assert client.get(f"/api/v1/conversations/{shown['id']}").status_code == 404, "nothing is stored"
    again = client.post("/api/v1/conversations:preview", json={**body, "id": shown["id"]}).json()
    begun = client.post("/api/v1/conversations", json={**body, "id": shown["id"]})
    assert begun.status_code == 201
    texts = [[each["content"] for each in one["messages"]] for one in (shown, again, begun.json())]
    assert texts[0] == texts[1] == texts[2]
    assert begun.json()["head_id"] == begun.json()["messages"][1]["id"]
    taken = client.post("/api/v1/conversations", json={**body, "id": shown["id"]})
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:chatacter:problem:conflict")
    assert client.post("/api/v1/conversations:preview", json={**body, "id": "no id!"}).status_code == 422


def test_somebody_of_a_group_speaks_without_being_asked(client: httpx.Client) -> None:
    client.post("/api/v1/characters", json={"id": "guest", "name": "Guest", "personality": "Shy."}).raise_for_status()
    talk = Talk(client, character=None, characters=["host", "guest"])
    asked = talk.post("/messages", message="Who is there?", character="guest", max_tokens=4)
    more = talk.post(f"/messages/{asked['message_id']}/next", character="host", max_tokens=4)
    assert (more["character"], more["parent_id"], more["stored"]) == ("host", asked["message_id"], True)
    turn = talk.post(f"/messages/{more['message_id']}/next", max_tokens=4)
    assert (turn["character"], turn["parent_id"]) == ("guest", more["message_id"])
    assert talk.read()["head_id"] == turn["message_id"]
    elsewhere = client.post(f"{talk.home}/messages/{turn['message_id']}/next", json={"character": "ada"})
    assert elsewhere.status_code == 409
    assert client.post(f"{talk.home}/messages/msg_none/next", json={}).status_code == 404


def test_a_list_tells_what_was_said_first(client: httpx.Client) -> None:
    silent, talk = Talk(client), Talk(client)
    talk.post("/messages", message="Is there cake?", max_tokens=4)
    talk.post("/messages", message="And tea?", max_tokens=4)
    listed = client.get("/api/v1/conversations").raise_for_status().json()["data"]
    openings = {each["id"]: each["opening"] for each in listed}
    assert (openings[talk.id], openings[silent.id]) == ("Is there cake?", None)
    history = client.get(f"/api/v1/chat/history/{talk.id}").json()
    assert (history["persona"], history["members"], history["order"], history["replies"]) == (None, [], "mention", 1)


def test_a_person_is_greeted_by_name_and_swipes(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    talk = Talk(client, persona={"name": "Ann", "description": "A painter."}, title="Tea")
    assert talk.active() == ["Welcome, Ann! I am Host."]
    again = talk.named("Ah, Ann again.")
    assert (again["index"], len(again["siblings"])) == (1, 2)
    changed = client.patch(talk.home, json={"head_id": again["id"]}).raise_for_status().json()
    assert (changed["head_id"], changed["title"], changed["persona"]["name"]) == (again["id"], "Tea", "Ann")
    llm_server.play("Good day.")
    assert talk.post("/messages", message="Good evening.")["response"] == "Good day."
    assert talk.active() == ["Ah, Ann again.", "Good evening.", "Good day."]
    assert "assistant: Ah, Ann again." in llm_server.requests[-1].prompt
    assert "Welcome" not in llm_server.requests[-1].prompt


def test_a_page_goes_on_after_a_conversation_that_is_there(client: httpx.Client) -> None:
    first = Talk(client)
    second = Talk(client)
    page = client.get("/api/v1/conversations", params={"after": second.id}).raise_for_status().json()
    assert [one["id"] for one in page["data"]] == [first.id]
    answer = client.get("/api/v1/conversations", params={"after": "unknown"})
    assert answer.status_code == 404
    assert "list from the beginning" in answer.json()["detail"]
    assert answer.json()["param"] == "after"


def test_replies_are_regenerated_continued_and_swiped(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    talk = Talk(client, greeting=False)
    answers = []
    llm_server.play("One", " and")
    answers.append(talk.post("/messages", message="Count."))
    llm_server.play("Uno")
    answers.append(talk.post(f"/messages/{answers[0]['message_id']}/regenerate"))
    llm_server.play(" two.")
    answers.append(talk.post(f"/messages/{answers[0]['message_id']}/continue"))
    assert [answer["response"] for answer in answers] == ["One and", "Uno", "One and two."]
    assert len({answer["parent_id"] for answer in answers}) == 1
    asked = llm_server.requests[-1]
    assert asked.messages[-1] == {"role": "assistant", "content": "One and"}
    assert asked.body["continue_final_message"] is True
    assert talk.active() == ["Count.", "One and two."]
    swipes = talk.named("Uno")
    assert (swipes["siblings"], swipes["index"]) == ([answer["message_id"] for answer in answers], 1)
    client.patch(talk.home, json={"head_id": swipes["id"]}).raise_for_status()
    assert talk.active() == ["Count.", "Uno"]


def test_messages_are_edited_answered_and_deleted(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    talk = Talk(client, greeting=False)
    llm_server.play("Which one?")
    talk.post("/messages", message="My dgo is old.")
    wrong = talk.named("My dgo is old.")
    llm_server.play("Poor dog.")
    answer = talk.post(f"/messages/{wrong['id']}/edit", content="My dog is old.", reply=True)
    assert talk.active() == ["My dog is old.", "Poor dog."]
    assert "dgo" not in llm_server.requests[-1].prompt
    edited = client.post(f"{talk.home}/messages/{answer['message_id']}/edit", json={"content": "Happy dog."})
    assert (edited.status_code, edited.json()["index"]) == (201, 1)
    assert talk.active() == ["My dog is old.", "Happy dog."]
    refused = client.post(f"{talk.home}/messages/{answer['message_id']}/edit", json={"content": "X", "reply": True})
    assert refused.status_code == 422
    gone = client.delete(f"{talk.home}/messages/{answer['parent_id']}").raise_for_status().json()
    assert talk.active() == ["My dgo is old.", "Which one?"]
    assert gone["head_id"] == talk.read()["head_id"]
    assert client.delete(f"{talk.home}/messages/{answer['parent_id']}").status_code == 404


def test_a_conversation_goes_on_when_its_window_expired(
    client: httpx.Client, llm_server: FakeLLMServer, redis_url: str
) -> None:
    talk = Talk(client, greeting=False)
    for text in ("My cat is Marmalade.", "She is orange."):
        talk.post("/messages", message=text)
    with Redis.from_url(redis_url) as redis:
        windows = list(redis.scan_iter("*:window:*"))
        assert windows
        assert redis.delete(*windows) == len(windows)
    talk.post("/messages", message="What is she called?")
    assert "My cat is Marmalade." in llm_server.requests[-1].prompt


def test_a_fork_is_a_conversation_of_its_own(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    talk = Talk(client, title="Tea")
    talk.post("/messages", message="Hello")
    fork = client.post(f"{talk.home}/fork", json={}).raise_for_status()
    copy = client.get(f"/api/v1/chat/history/{fork.json()['id']}").json()["messages"]
    assert [message["content"] for message in copy] == talk.active()
    client.delete(talk.home).raise_for_status()
    assert client.get(fork.headers["location"]).json()["title"] == "Tea"


def test_a_conversation_leaves_as_a_file_and_comes_back(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    talk = Talk(client, title="Tea")
    answer = talk.post("/messages", message="Hello")
    talk.post(f"/messages/{answer['message_id']}/regenerate")
    for form, count in (("json", 5), ("sillytavern", 5)):
        file = client.get(f"{talk.home}/export", params={"format": form}).raise_for_status()
        assert "attachment" in file.headers["content-disposition"]
        back = client.post("/api/v1/conversations/import", content=file.content).raise_for_status()
        assert (len(back.json()["messages"]), back.json()["warnings"]) == (count, [])
        again = client.get(f"/api/v1/chat/history/{back.json()['id']}").json()["messages"]
        assert [message["content"] for message in again] == talk.active()
    elsewhere = client.post("/api/v1/conversations/import?character=nobody", content=file.content)
    assert elsewhere.status_code == 404
    assert client.post("/api/v1/conversations/import", content=b"nonsense").status_code == 422


def test_a_reply_anywhere_streams(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    talk = Talk(client, greeting=False)
    first = talk.post("/messages", message="Hello")
    llm_server.play("Else", "where")
    body = {"message": "Again", "parent_id": None, "stream": True}
    with client.stream("POST", f"{talk.home}/messages", json=body) as stream:
        lines = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert [event["type"] for event in lines] == ["reply.created", "reply.delta", "reply.delta", "reply.completed"]
    assert lines[0].keys() >= {"reply_id", "message_id", "parent_id", "character_id", "conversation_id"}
    assert (lines[0]["begun"], lines[-1]["stored"]) == ("", True)
    assert talk.active() == ["Again", "Elsewhere"]
    assert first["message_id"] in {message["id"] for message in talk.read()["messages"]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/messages", {"message": " "}, 422),
        ("/messages", {"message": "x", "parent_id": "none"}, 404),
        ("/messages", {"message": "x", "character": "ada"}, 409),
        ("/messages/none/regenerate", {}, 404),
        ("/messages/none/continue", {}, 404),
        ("/messages/none/edit", {"content": "x"}, 404),
        ("/messages/none/edit", {"content": "x", "reply": True}, 404),
        ("/fork", {"message_id": "none"}, 404),
    ],
)
def test_what_cannot_be_done_is_refused(client: httpx.Client, path: str, body: dict[str, Any], status: int) -> None:
    answer = client.post(f"{Talk(client).home}{path}", json=body)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)
    missing = client.post(f"/api/v1/conversations/none{path}", json=body)
    assert missing.status_code in {404, 422}


def test_a_head_that_is_no_message_is_refused(client: httpx.Client) -> None:
    talk = Talk(client)
    assert client.patch(talk.home, json={"head_id": "none"}).status_code == 404
    assert client.patch(talk.home, json={"head_id": None}).status_code == 422
    assert client.post("/api/v1/conversations", json={"character": "host", "greeting": 7}).status_code == 422


def test_the_live_session_has_the_same_verbs(
    client: httpx.Client, replicas: list[ServiceProcess], llm_server: FakeLLMServer
) -> None:
    talk = Talk(client, greeting=False)
    address = replicas[1].url.replace("http", "ws") + "/api/v1/ws/chat"

    def done(command: dict[str, Any], *words: str) -> list[dict[str, Any]]:
        llm_server.play(*words)
        socket.send(json.dumps({"session_id": talk.id, **command}))
        frames = [json.loads(socket.recv(timeout=60))]
        while frames[-1]["type"] not in {"reply.completed", "message.edited", "error"}:
            frames.append(json.loads(socket.recv(timeout=60)))
        return frames

    with connect(address) as socket:
        first = done({"type": "message.create", "message": "Count."}, "One")[0]["message_id"]
        done({"type": "message.regenerate", "message_id": first}, "Uno")
        assert talk.active() == ["Count.", "Uno"]
        done({"type": "message.continue", "message_id": first}, ", two")
        assert talk.active() == ["Count.", "One, two"]
        done({"type": "message.create", "message": "Else.", "parent_id": first}, "Yes?")
        assert talk.active() == ["Count.", "One", "Else.", "Yes?"]
        question = talk.named("Count.")["id"]
        done({"type": "message.edit", "message_id": question, "content": "Sing.", "reply": True}, "La")
        assert talk.active() == ["Sing.", "La"]
        edited = done({"type": "message.edit", "message_id": first, "content": "1"})[-1]
        assert (edited["type"], edited["message"]["index"]) == ("message.edited", 3)
        assert done({"type": "message.regenerate", "message_id": "none"})[-1]["code"] == "not_found"
        assert done({"type": "message.edit", "message_id": first, "content": " "})[-1]["code"] == "invalid_input"
