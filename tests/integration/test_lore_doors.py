"""Lorebooks, macros and the prompt preview through the public door: a real Chattr, a real Redis, two tenants."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from chatacter.chassis.auth import new_key
from tests.card_material import in_json, v3
from tests.fake_llm_server import FakeLLMServer
from tests.lore_material import entry
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

ANN, ANN_KEY = new_key("ann", "acme", ["characters", "chat"])
EVE, EVE_KEY = new_key("eve", "evil", ["characters", "chat"])
CHATTY, CHATTY_KEY = new_key("chatty", "acme", ["chat"])
MAKER, MAKER_KEY = new_key("maker", "acme", ["characters"])
BOOKS = "/api/v1/lorebooks"

WORLD = {
    "entries": {
        "1": {"uid": 1, "key": ["/dr.gon/i"], "content": "{{char}} fears dragons.", "order": 5, "position": 0},
        "0": {"uid": 0, "key": [], "constant": True, "content": "It is {{// the }}year 3.", "order": 9, "position": 4},
        "2": {"uid": 2, "key": ["off"], "content": "Never.", "disable": True, "sticky": 3},
    }
}


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    home = tmp_path_factory.mktemp("lore")
    keys = home / "keys.json"
    made = (ANN_KEY, EVE_KEY, CHATTY_KEY, MAKER_KEY)
    keys.write_text(json.dumps([key.model_dump(mode="json") for key in made]))
    given = {
        "REQUIRE_API_KEY": "true",
        "API_KEYS_FILE": str(keys),
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server_of_this_run.url,
        "MODEL__NAME": "scripted",
        "ASSETS_URL": f"file://{home}/assets",
        "RUN_DISPATCHER": "false",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_UI": "false",
    }
    with running("chattr", home, given) as service:
        yield service


def client(service: ServiceProcess, secret: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {secret}"}, timeout=60)


@pytest.fixture
def ann(chattr: ServiceProcess) -> Iterator[httpx.Client]:
    with client(chattr, ANN) as opened:
        yield opened


@pytest.fixture
def eve(chattr: ServiceProcess) -> Iterator[httpx.Client]:
    with client(chattr, EVE) as opened:
        yield opened


def ok(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def character(web: httpx.Client, name: str, **fields: Any) -> str:
    made = ok(web.post("/api/v1/characters", json={"id": name, "name": "Rowan", "personality": "Calm.", **fields}))
    return str(made["id"])


def previewed(web: httpx.Client, character_id: str, message: str, **body: Any) -> dict[str, Any]:
    answer = web.post(f"/api/v1/characters/{character_id}/prompt:preview", json={"message": message, **body})
    found: dict[str, Any] = ok(answer)
    return found


def texts(preview: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in preview["messages"])


def test_a_lorebook_is_stored_read_replaced_and_deleted(ann: httpx.Client) -> None:
    book = {"name": "The Garden", "x_mine": 1, "entries": [entry("A plum.", "plum", x_own=[None])]}
    made = ann.post(BOOKS, json={"lorebook": book})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"{BOOKS}/the-garden"
    assert made.json()["lorebook"]["x_mine"] == 1
    assert ok(ann.get(f"{BOOKS}/the-garden")) == made.json()
    assert ann.post(BOOKS, json={"id": "the-garden", "lorebook": book}).status_code == 409
    assert [(one["id"], one["entries"]) for one in ok(ann.get(BOOKS))["data"]] == [("the-garden", 1)]
    replaced = ok(ann.put(f"{BOOKS}/the-garden", json={"entries": []}))
    assert replaced["lorebook"]["entries"] == []
    assert replaced["created_at"] == made.json()["created_at"]
    read = ann.get(f"{BOOKS}/the-garden").headers["etag"]
    assert ann.get(f"{BOOKS}/the-garden", headers={"if-none-match": read}).status_code == 304
    written = ann.put(f"{BOOKS}/the-garden", json={"entries": []}, headers={"if-match": read}).headers["etag"]
    for stale in (
        ann.put(f"{BOOKS}/the-garden", json={}, headers={"if-match": read}),
        ann.delete(f"{BOOKS}/the-garden", headers={"if-match": read}),
    ):
        assert (stale.status_code, stale.json()["type"]) == (412, "urn:chatacter:problem:stale")
    ok(ann.delete(f"{BOOKS}/the-garden", headers={"if-match": written}))
    for answer in (
        ann.get(f"{BOOKS}/the-garden"),
        ann.get(f"{BOOKS}/the-garden/export"),
        ann.put(f"{BOOKS}/the-garden", json={}),
        ann.delete(f"{BOOKS}/the-garden"),
    ):
        assert answer.status_code == 404


def test_a_lorebook_v3_file_comes_back_as_it_went_in(ann: httpx.Client) -> None:
    data = {"name": "Whole", "extensions": {"a": {"b": 1.5}}, "entries": [entry("@@depth 2\nx", "k", u=1)]}
    made = ok(ann.post(f"{BOOKS}/import", json={"spec": "lorebook_v3", "data": data}))
    assert made["warnings"] == []
    answer = ann.get(f"{BOOKS}/{made['id']}/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="whole.json"'
    assert answer.json() == {"spec": "lorebook_v3", "data": data}
    ok(ann.delete(f"{BOOKS}/{made['id']}"))


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"entries": 1}', b'{"spec": "lorebook_v3"}', b'{"entries": [], "entries": []}']
)
def test_what_is_no_lorebook_is_refused(ann: httpx.Client, body: bytes) -> None:
    answer = ann.post(f"{BOOKS}/import", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text


def test_world_info_is_told_by_those_who_share_it(ann: httpx.Client, llm_server_of_this_run: FakeLLMServer) -> None:
    ok(ann.post(f"{BOOKS}/import", params={"id": "world"}, json=WORLD))
    for name in ("rowan-one", "rowan-two"):
        character(ann, name, lorebooks=["world", "gone"])
        preview = previewed(ann, name, "A DRAGON!")
        assert [(one["source"], one["by"], one["content"]) for one in preview["lore"]] == [
            ("world", "/dr.gon/i", "Rowan fears dragons."),
            ("world", "constant", "It is year 3."),
        ]
        assert preview["told"] == ["This character names lorebooks that are not there: gone."]
        assert preview["messages"][0]["content"].startswith("Rowan fears dragons.")
        assert preview["messages"][-1]["content"] == "[It is year 3.]\nA DRAGON!"
    llm_server_of_this_run.requests.clear()
    body = {"model": "rowan-one", "messages": [{"role": "user", "content": "A DRAGON!"}]}
    ok(ann.post("/v1/chat/completions", json=body))
    assert llm_server_of_this_run.requests[-1].messages == preview["messages"]
    ok(ann.delete(f"{BOOKS}/world"))
    assert previewed(ann, "rowan-one", "A dragon!")["lore"] == []


def test_lorebooks_and_previews_belong_to_a_tenant(ann: httpx.Client, eve: httpx.Client) -> None:
    ok(ann.post(BOOKS, json={"id": "secret", "lorebook": {"entries": [entry("The word is plum.", constant=True)]}}))
    assert eve.get(f"{BOOKS}/secret").status_code == 404
    assert ok(eve.get(BOOKS))["data"] == []
    name = character(eve, "spy", lorebooks=["secret"])
    preview = previewed(eve, name, "What is the word?")
    assert "plum" not in texts(preview)
    assert preview["lore"] == []
    character(ann, "keeper")
    assert eve.post("/api/v1/characters/keeper/prompt:preview", json={"message": "Hi"}).status_code == 404


def test_each_door_asks_for_its_scopes(chattr: ServiceProcess) -> None:
    with client(chattr, CHATTY) as chatty, client(chattr, MAKER) as maker:
        assert chatty.get(BOOKS).status_code == 403
        for web in (chatty, maker):
            assert web.post("/api/v1/characters/ada/prompt:preview", json={"message": "Hi"}).status_code == 403


def test_a_cards_lorebook_is_told_and_goes_out_with_the_card(ann: httpx.Client) -> None:
    card = v3(name="Bookish", system_prompt="{{original}} {{char}} meets {{user}}.", mes_example="")
    kind = {"content-type": "application/json"}
    made = ok(ann.post("/api/v1/characters/import", content=in_json(card), headers=kind))
    preview = previewed(ann, made["id"], "A plum?", persona={"name": "Bea", "description": "A baker."})
    assert [one["by"] for one in preview["lore"]] == ["plum"]
    system = preview["messages"][0]["content"]
    assert "You play Bookish" in system
    assert "Row meets Bea." in system
    assert "You talk with Bea. A baker." in system
    assert "For quiet evenings." not in texts(preview)
    assert ok(ann.get(f"/api/v1/characters/{made['id']}/export")) == card


def test_a_preview_of_a_conversation_stores_nothing(ann: httpx.Client, llm_server_of_this_run: FakeLLMServer) -> None:
    name = character(ann, "quiet")
    begun = ok(ann.post("/api/v1/chat/message", json={"character": name, "message": "First words."}))
    conversation = begun["session_id"]
    before = ok(ann.get(f"/api/v1/chat/history/{conversation}"))
    llm_server_of_this_run.requests.clear()
    preview = previewed(ann, name, "Second words.", conversation_id=conversation)
    assert preview["messages"][1]["content"] == "First words."
    assert preview["messages"][-1] == {"role": "user", "content": "Second words."}
    assert llm_server_of_this_run.requests == []
    assert ok(ann.get(f"/api/v1/chat/history/{conversation}")) == before
    for body in ({"conversation_id": "none"}, {"conversation_id": "a/b"}):
        answer = ann.post(f"/api/v1/characters/{name}/prompt:preview", json={"message": "Hi", **body})
        assert answer.status_code in {404, 422}, answer.text
    both = {"message": "Hi", "conversation_id": conversation, "history": [{"role": "user", "content": "x"}]}
    assert ann.post(f"/api/v1/characters/{name}/prompt:preview", json=both).status_code == 422


def test_a_preview_says_what_was_left_out_and_why(ann: httpx.Client) -> None:
    entries = [entry("many words " * 40, "k", priority=1), entry("few words", "k", priority=2)]
    odd = [entry("x", "(", use_regex=True), entry("@@nonsense 1\nx", "none")]
    name = character(ann, "wordy", lorebook={"token_budget": 60, "entries": [*entries, *odd]})
    preview = previewed(ann, name, "k", history=[{"role": "user", "content": "Earlier."}])
    assert [one["content"] for one in preview["lore"]] == ["few words"]
    assert [(one["entry"], one["reason"]) for one in preview["left"]] == [
        ("entry 1", "over the lorebook's budget of 60 tokens"),
        ("entry 3", "pattern 1 is not valid"),
    ]
    assert preview["told"] == ["entry 4: decorator 'nonsense' is not known here, or its value is not valid"]
    assert sum(part["tokens"] for part in preview["parts"]) == preview["tokens"]
    lore = next(part for part in preview["parts"] if part["name"] == "lore")
    assert (lore["kept"], lore["dropped"]) == (1, 2)


@pytest.mark.parametrize(
    "book",
    [
        {"entries": "x"},
        {"entries": [{"keys": ["a" * 1001]}]},
        {"entries": [{"content": "a" * 16_001}]},
        {"entries": [{"insertion_order": "soon"}]},
        {"entries": [{}] * 2001},
        {"token_budget": -1},
        {"x": "a" * 20_000},
    ],
)
def test_a_book_that_is_too_much_is_refused(ann: httpx.Client, book: dict[str, Any]) -> None:
    assert ann.post(BOOKS, json={"lorebook": book}).status_code == 422
