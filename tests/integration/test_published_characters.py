"""Whose characters are whose: what is not published is behind no door of another tenant's, what is, is for all."""

from typing import Any

import httpx
import pytest

from tests.card_material import apng
from tests.fake_llm_server import FakeLLMServer
from tests.two_tenants import FAQ, HELLO, PATH, everybody, made, pictured

pytestmark = pytest.mark.integration

DOORS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", f"{PATH}/secret", {}),
    ("GET", f"{PATH}/secret/portrait", {}),
    ("GET", f"{PATH}/secret/export", {}),
    ("GET", "/v1/models/secret", {}),
    ("POST", f"{PATH}/secret/prompt:preview", {"message": "Hello"}),
    ("POST", "/v1/chat/completions", {"model": "secret", "messages": HELLO}),
    ("POST", "/api/v1/chat/message", {"message": "Hello", "character": "secret"}),
    ("POST", "/api/v1/conversations", {"character": "secret"}),
    ("POST", "/v1/videos", {"model": "portrait", "prompt": "Hello", "character": "secret"}),
]


@pytest.mark.parametrize(("method", "address", "body"), DOORS)
def test_an_unpublished_character_is_behind_no_door(
    ann: httpx.Client, eve: httpx.Client, method: str, address: str, body: dict[str, Any]
) -> None:
    secret = pictured(ann, "secret")
    own, other = (web.request(method, address, json=body or None) for web in (ann, eve))
    assert own.status_code in {200, 201, 202}, own.text
    assert other.status_code == 404, other.text
    assert secret["name"] not in other.text
    assert secret["portrait"] not in other.text


def test_an_unpublished_character_is_in_no_list_and_speaks_for_nobody_else(
    ann: httpx.Client, eve: httpx.Client
) -> None:
    pictured(ann, "secret")
    assert "secret" not in everybody(eve)
    assert everybody(eve, q="Rowan") == []
    assert "secret" not in eve.get("/v1/models").text
    speech = {"model": "fake", "input": "Hello", "voice": "secret"}
    assert [web.post("/v1/audio/speech", json=speech).status_code for web in (ann, eve)] == [200, 404]
    for method in ("PUT", "PATCH", "DELETE"):
        answer = eve.request(method, f"{PATH}/secret", json={**FAQ, "id": "secret"})
        assert answer.status_code == {"PUT": 201, "PATCH": 200, "DELETE": 204}[method], "this one is Eve's own"
    assert ann.get(f"{PATH}/secret").json()["name"] != FAQ["name"]


def test_a_published_character_is_for_all_to_use_and_one_to_change(
    ann: httpx.Client, eve: httpx.Client, llm_server: FakeLLMServer
) -> None:
    mine = pictured(ann, "secret")
    ann.patch(f"{PATH}/secret", json={"published": True, "system_prompt": "You are public."}).raise_for_status()
    theirs = eve.get(f"{PATH}/secret").json()
    assert (theirs["origin"], theirs["name"]) == ("published", mine["name"])
    assert theirs["capabilities"] == ["text", "speech", "video"]
    assert "secret" in everybody(eve)
    assert everybody(eve, origin="published") == ["secret"]
    for method, address, body in DOORS:
        answer = eve.request(method, address, json=body or None)
        assert answer.status_code in {200, 201, 202}, f"{address}: {answer.text}"
    assert "You are public." in llm_server.requests[-1].prompt
    speech = {"model": "fake", "input": "Hello", "voice": "secret"}
    assert eve.post("/v1/audio/speech", json=speech).status_code == 200
    assert eve.get(f"{PATH}/secret/portrait").content == ann.get(f"{PATH}/secret/portrait").content == apng()
    thief = eve.post(PATH, json={**FAQ, "id": "thief", "portrait": mine["portrait"]}).json()
    assert thief["capabilities"] == ["text", "speech"], "the picture is to be had through the character only"
    assert eve.get(f"{PATH}/thief/portrait").status_code == 404
    for method in ("PUT", "PATCH", "DELETE"):
        refused = eve.request(method, f"{PATH}/secret", json={**FAQ, "id": "secret"})
        assert (refused.status_code, "POST" in refused.json()["detail"]) == (403, True), refused.text
    ann.patch(f"{PATH}/secret", json={"description": "Seen by all at once"}).raise_for_status()
    assert {eve.get(f"{PATH}/secret").json()["description"] for _ in range(2)} == {"Seen by all at once"}
    assert ann.patch(f"{PATH}/secret", json={"published": False}).status_code == 200
    assert {eve.get(f"{PATH}/secret").status_code for _ in range(2)} == {404}


def test_what_is_said_to_a_published_character_stays_with_who_said_it(ann: httpx.Client, eve: httpx.Client) -> None:
    made(ann, id="open", published=True)
    eve.post(
        "/api/v1/chat/message", json={"message": "Mine.", "character": "open", "session_id": "s"}
    ).raise_for_status()
    assert eve.get("/api/v1/chat/history/s").json()["messages"][0]["content"] == "Mine."
    assert ann.get("/api/v1/chat/history/s").status_code == 404
    assert ann.delete(f"{PATH}/open").status_code == 204
    assert eve.get("/api/v1/chat/history/s").status_code == 200
    assert eve.post("/api/v1/chat/message", json={"message": "Still?", "session_id": "s"}).status_code == 404


def test_an_id_is_published_by_one_and_everybodys_own_comes_first(ann: httpx.Client, eve: httpx.Client) -> None:
    made(ann, id="open", name="Ann's", published=True)
    assert made(eve, id="open", name="Eve's").json()["origin"] == "own"
    refused = eve.patch(f"{PATH}/open", json={"published": True})
    assert (refused.status_code, refused.json()["param"]) == (409, "published")
    both = eve.post(PATH, json={**FAQ, "id": "open", "published": True})
    assert both.status_code == 409
    assert eve.get(f"{PATH}/open").json()["name"] == "Eve's"
    assert eve.delete(f"{PATH}/open").status_code == 204
    assert eve.get(f"{PATH}/open").json()["name"] == "Ann's"
    assert ann.delete(f"{PATH}/open").status_code == 204
    assert made(eve, id="open", name="Eve's", published=True).json()["published"]
    assert ann.get(f"{PATH}/open").json()["origin"] == "published"
