"""How SillyTavern and Open WebUI call an OpenAI-compatible server, at our door.

The requests are our own, in the shapes that these programs send. SillyTavern: `public/scripts/openai.js`, and
`src/endpoints/backends/chat-completions.js` with the source `custom`. Open WebUI: its `routers/openai.py` and its
tasks. Both were read in November 2026; neither ran here.
"""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with running("chattr", tmp_path_factory.mktemp("one"), settings(redis_server, llm_server_of_this_run)) as process:
        yield process


@pytest.fixture
def client(chattr: ServiceProcess, redis_url: str, llm_server: FakeLLMServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{chattr.url}/v1", timeout=60) as made:
        yield made


def tavern(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """SillyTavern's body: its samplers are always there; a setting that is off is left out by `JSON.stringify`."""
    return {
        "messages": list(messages),
        "model": "ada",
        "temperature": 1,
        "max_tokens": 300,
        "stream": True,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "top_p": 1,
        "stop": [],
        "logit_bias": {},
        **more,
    }


def webui(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Open WebUI's body for a chat."""
    return {"stream": True, "model": "mira", "messages": list(messages), **more}


WORLD = (
    {"role": "system", "content": "Write Ada's next reply in a fictional chat between Ada and Sam."},
    {"role": "system", "content": "[Sam's persona: a sailor]"},
    {"role": "system", "content": "[Example Chat]"},
    {"role": "system", "name": "example_user", "content": "Hi!"},
    {"role": "system", "name": "example_assistant", "content": "Good day."},
    {"role": "system", "content": "[Start a new Chat]"},
)
GREETING = {"role": "assistant", "content": "*looks up* Good evening."}


def streamed(client: httpx.Client, body: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Read a stream as both programs do: `data:` lines up to `[DONE]`."""
    with client.stream("POST", "/chat/completions", json=body, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        data = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return [json.loads(each) for each in data[:-1]]


def text(chunks: list[dict[str, Any]]) -> str:
    return "".join(each["delta"].get("content") or "" for chunk in chunks for each in chunk["choices"])


@pytest.mark.parametrize("key", [None, "Bearer", "Bearer null", "Bearer sk-anything"])
def test_models_are_listed_with_whatever_key_where_none_is_asked_for(client: httpx.Client, key: str | None) -> None:
    headers = {} if key is None else {"authorization": key}
    answer = client.get("/models", headers=headers).raise_for_status().json()
    assert answer["object"] == "list"
    for model in answer["data"]:
        assert model["id"]
        assert model["name"]
        assert (model["object"], model["owned_by"]) == ("model", "chatacter")
        assert "pipeline" not in model
        assert client.get(f"/models/{model['id']}", headers=headers).json() == model


def test_sillytavern_begins_a_chat(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    chunks = streamed(client, tavern(*WORLD, GREETING, {"role": "user", "content": "Who are you?"}))
    assert text(chunks) == "Hello, Who are you?!"
    sent = llm_server.requests[-1]
    assert not {"stop", "logit_bias"} & sent.body.keys()
    assert sent.body["max_tokens"] == 300
    system, *_, said, asked = sent.messages
    assert system["content"].startswith("This is a role-play. You play Ada") or "Ada" in system["content"]
    assert all(message["content"] in system["content"] for message in WORLD)
    assert (said, asked["content"].splitlines()[-1]) == (GREETING, "Who are you?")


def test_sillytavern_swipes_several_at_once(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    llm_server.stream(
        *({"choices": [{"index": index, "delta": {"content": f"Swipe {index}"}}]} for index in (0, 1, 2)),
        *({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]} for index in (0, 1, 2)),
    )
    chunks = streamed(client, tavern({"role": "user", "content": "Hi"}, n=3, seed=7, top_k=40))
    swipes = {each["index"]: each["delta"] for chunk in chunks for each in chunk["choices"] if each["delta"]}
    assert {index: delta["content"] for index, delta in swipes.items()} == {0: "Swipe 0", 1: "Swipe 1", 2: "Swipe 2"}
    sent = llm_server.requests[-1].body
    assert (sent["n"], sent["seed"], sent["top_k"]) == (3, 7, 40)


@pytest.mark.parametrize("nudge", [False, True], ids=["prefill", "nudge"])
def test_sillytavern_continues(client: httpx.Client, llm_server: FakeLLMServer, nudge: bool) -> None:
    begun = {"role": "assistant", "content": "Once upon"}
    last = ({"role": "system", "content": "[Continue your last message without repeating it.]"},) if nudge else ()
    streamed(client, tavern(*WORLD, {"role": "user", "content": "Tell."}, begun, *last))
    system, *_, final = llm_server.requests[-1].messages
    assert final == begun
    assert ("[Continue" in system["content"]) is nudge


def test_sillytavern_asks_quietly_with_a_system_message_alone(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    body = tavern({"role": "system", "content": "Summarize."}, stream=False)
    answer = client.post("/chat/completions", json=body).raise_for_status().json()
    assert answer["choices"][0]["message"]["content"].startswith("Hello, ")
    assert "Summarize." in llm_server.requests[-1].messages[0]["content"]


def test_sillytavern_sends_tools_logprobs_schemas_and_pictures(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    tool = {"type": "function", "function": {"name": "roll", "description": "", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "roll", "arguments": "{}"}}
    seen = {
        "role": "user",
        "content": [{"type": "text", "text": "Look"}, PICTURE],
    }
    body = tavern(
        seen,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "6"},
        tools=[tool],
        tool_choice="auto",
        logprobs=True,
        top_logprobs=10,
        response_format={"type": "json_schema", "json_schema": {"name": "a", "strict": True, "schema": {}}},
        include_reasoning=True,
        reasoning_effort="medium",
    )
    streamed(client, body)
    sent = llm_server.requests[-1]
    assert {
        "tools",
        "tool_choice",
        "logprobs",
        "top_logprobs",
        "response_format",
        "include_reasoning",
    } <= sent.body.keys()
    assert sent.messages[-2:] == body["messages"][1:]
    assert sent.messages[-3]["content"][-1] == PICTURE


def test_sillytavern_reads_reasoning_out_of_the_stream(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    llm_server.stream(
        {"choices": [{"index": 0, "delta": {"role": "assistant", "reasoning_content": "Hm."}}]},
        {"choices": [{"index": 0, "delta": {"content": "Yes."}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    )
    chunks = streamed(client, tavern({"role": "user", "content": "Hi"}))
    assert chunks[0]["choices"][0]["delta"]["reasoning_content"] == "Hm."


def test_an_unknown_model_is_told_in_a_form_that_is_shown(client: httpx.Client) -> None:
    answer = client.post("/chat/completions", json=tavern({"role": "user", "content": "Hi"}, model="gpt-4-turbo"))
    assert answer.status_code == 404
    assert "ada" in answer.json()["error"]["message"]


def test_open_webui_chats(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    body = webui(
        {"role": "system", "content": "Today is Friday."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "And this?"}, PICTURE],
        },
        stream_options={"include_usage": True},
        chat_id="7b7f",
        session_id="abc",
        features={"web_search": False, "code_interpreter": False},
        params={},
        tool_servers=[],
        files=None,
        metadata={"user_id": "u", "chat_id": "7b7f", "files": None, "features": {"memory": False}},
    )
    headers = {
        "authorization": "Bearer",
        "x-openwebui-user-name": "Sam",
        "x-openwebui-user-id": "u",
        "x-openwebui-user-email": "sam@example.com",
        "x-openwebui-user-role": "user",
    }
    llm_server.play("A map.")
    chunks = streamed(client, body, headers)
    assert text(chunks) == "A map."
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    sent = llm_server.requests[-1]
    assert not {"metadata", "files", "tool_servers", "params"} & sent.body.keys()
    assert sent.messages[-1]["content"][-1] == PICTURE
    assert "sam@example.com" not in json.dumps(sent.body)


@pytest.mark.parametrize(
    ("task", "limit"), [("title", "max_tokens"), ("tags", "max_completion_tokens"), ("follow_ups", "max_tokens")]
)
def test_open_webui_s_tasks_are_answered_whole(
    client: httpx.Client, llm_server: FakeLLMServer, task: str, limit: str
) -> None:
    llm_server.play(f'{{"{task}": ', '"Maps"}')
    asked = f"### Task:\nGenerate {task} as JSON.\n<chat_history>\nUSER: Hi\nASSISTANT: Hello!\n</chat_history>"
    body = webui({"role": "user", "content": asked}, stream=False, **{limit: 1000})
    answer = client.post("/chat/completions", json=body).raise_for_status().json()
    assert json.loads(answer["choices"][0]["message"]["content"]) == {task: "Maps"}
    sent = llm_server.requests[-1].body
    assert sent[limit] == 1000
    assert ("max_tokens" in sent) is (limit == "max_tokens")


def test_open_webui_calls_tools_natively(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "search", "arguments": '{"q": "maps"}'}}
    llm_server.stream(
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None, "tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    )
    tool = {"type": "function", "function": {"name": "search", "parameters": {"type": "object", "properties": {}}}}
    question = {"role": "user", "content": "Find maps."}
    chunks = streamed(client, webui(question, tools=[tool]))
    assert chunks[0]["choices"][0]["delta"]["tool_calls"] == [call]
    llm_server.play("Here they are.")
    called = {"role": "assistant", "content": "", "tool_calls": [{**call, "index": 0}]}
    found = {"role": "tool", "tool_call_id": "c", "content": "three maps"}
    assert text(streamed(client, webui(question, called, found, tools=[tool]))) == "Here they are."
    assert llm_server.requests[-1].messages[-2:] == [called, found]
