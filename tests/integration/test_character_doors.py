"""Characters at the public door of two replicas behind a balancer: edits, preconditions, overrides."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from chatacter.client.api import Api
from chattr.adapters.character_watch import MISTAKES
from chattr.domain.card import png
from chattr.ui.door import Door
from chattr.ui.seat import Seat
from tests.architecture.repository import ROOT
from tests.fake_llm_server import FakeLLMServer
from tests.two_tenants import FAQ, HELLO, MAT, PATH, client, everybody, made
from tests.waiting import until

pytestmark = pytest.mark.integration


def test_the_body_of_the_faq_works_with_every_verb(ann: httpx.Client) -> None:
    created = made(ann).json()
    assert (created["origin"], created["capabilities"]) == ("own", ["text", "speech"])
    read = ann.get(f"{PATH}/my_character")
    assert read.json() == created
    put = ann.put(f"{PATH}/my_character", json={**FAQ, "name": "Another"})
    assert (put.status_code, put.json()["name"]) == (200, "Another")
    patched = ann.patch(f"{PATH}/my_character", json={"tags": ["x"]})
    assert (patched.json()["name"], patched.json()["tags"]) == ("Another", ["x"])
    assert ann.delete(f"{PATH}/my_character").status_code == 204
    assert ann.get(f"{PATH}/my_character").status_code == 404


def test_what_was_read_can_be_written_back(ann: httpx.Client) -> None:
    read = made(ann, seed=7, memory={"recall": 3})
    again = ann.put(f"{PATH}/my_character", json=read.json(), headers={"if-match": read.headers["etag"]})
    assert (again.status_code, again.json(), again.headers["etag"]) == (200, read.json(), read.headers["etag"])


def test_a_merge_patch_is_rfc_7396(ann: httpx.Client) -> None:
    made(ann, memory={"recall": 3, "long_term": False}, temperature=0.5, tags=["a", "b"])
    kind = {"content-type": "application/merge-patch+json"}
    patch = {"memory": {"recall": None}, "temperature": None, "tags": ["c"], "origin": "passed over"}
    changed = ann.patch(f"{PATH}/my_character", content=json.dumps(patch), headers=kind).json()
    assert changed["memory"] == {"recall": None, "long_term": False}
    assert (changed["temperature"], changed["tags"], changed["origin"]) == (None, ["c"], "own")


@pytest.mark.parametrize(
    ("content", "kind", "status", "word"),
    [
        (b"[]", "application/json", 422, "JSON object"),
        (b"{", "application/json", 422, "not JSON"),
        (b"{}", "text/plain", 422, "merge-patch+json"),
        (b'{"id":"other"}', "application/json", 422, "cannot change"),
        (b'{"id":null}', "application/json", 422, "cannot change"),
        (b'{"name":null}', "application/json", 422, "name: Field required"),
        (b'{"personality":"","system_prompt":""}', "application/json", 422, "say who this is"),
        (b'{"colour":"red"}', "application/json", 422, "colour: Extra inputs"),
        (b'{"temperature":3}', "application/json", 422, "temperature:"),
        (b'{"model":"huge"}', "application/json", 422, "large, small"),
        (b'{"memory":' * 65 + b"1" + b"}" * 65, "application/json", 422, "deeper"),
        (b'{"memory":' * 900 + b"1" + b"}" * 900, "application/json", 422, "deeper"),
    ],
)
def test_a_patch_that_cannot_be_is_told_and_changes_nothing(
    ann: httpx.Client, content: bytes, kind: str, status: int, word: str
) -> None:
    before = made(ann)
    answer = ann.patch(f"{PATH}/my_character", content=content, headers={"content-type": kind})
    assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    assert ann.get(f"{PATH}/my_character").headers["etag"] == before.headers["etag"]


def test_a_stale_write_is_refused_whichever_replica_gets_it(ann: httpx.Client) -> None:
    first = made(ann).headers["etag"]
    assert not first.startswith("W/")
    for tag in (first, f'"other", {first}', "*"):
        assert ann.patch(f"{PATH}/my_character", json={}, headers={"if-match": tag}).status_code == 200
    second = ann.patch(f"{PATH}/my_character", json={"name": "New"}, headers={"if-match": first}).headers["etag"]
    assert second != first
    stale = {"if-match": first}
    for answer in (
        ann.patch(f"{PATH}/my_character", json={"name": "Late"}, headers=stale),
        ann.put(f"{PATH}/my_character", json=FAQ, headers=stale),
        ann.delete(f"{PATH}/my_character", headers=stale),
        ann.patch(f"{PATH}/my_character", json={"name": "Weak"}, headers={"if-match": f"W/{second}"}),
    ):
        assert (answer.status_code, answer.json()["param"]) == (412, "If-Match")
    assert ann.get(f"{PATH}/my_character").json()["name"] == "New"
    assert ann.delete(f"{PATH}/my_character", headers={"if-match": second}).status_code == 204
    assert ann.put(f"{PATH}/my_character", json=FAQ, headers={"if-match": "*"}).status_code == 412


def test_put_can_create_and_only_create(ann: httpx.Client) -> None:
    only_new = {"if-none-match": "*"}
    created = ann.put(f"{PATH}/my_character", json=FAQ, headers=only_new)
    assert (created.status_code, created.headers["location"]) == (201, f"{PATH}/my_character")
    assert ann.put(f"{PATH}/my_character", json=FAQ, headers=only_new).status_code == 412
    assert ann.put(f"{PATH}/ada", json={**FAQ, "id": "ada"}, headers=only_new).status_code == 412
    assert ann.put(f"{PATH}/other", json=FAQ).json()["param"] == "id"


def test_what_is_held_already_is_not_sent_again(ann: httpx.Client) -> None:
    for address in (PATH, f"{PATH}/ada", f"{PATH}/ada/portrait"):
        whole = ann.get(address)
        assert whole.status_code == 200
        for tag in (whole.headers["etag"], f"W/{whole.headers['etag']}", "*"):
            held = ann.get(address, headers={"if-none-match": tag})
            assert (held.status_code, held.content, held.headers["etag"]) == (304, b"", whole.headers["etag"])
        assert ann.get(address, headers={"if-none-match": '"other"'}).status_code == 200


def test_concurrent_patches_of_two_fields_lose_none(ann: httpx.Client) -> None:
    made(ann)
    changes = [
        {"scenario": "S"},
        {"description": "D"},
        {"nickname": "N"},
        {"language": "de"},
        {"seed": 3},
        {"top_p": 0.5},
    ]
    with ThreadPoolExecutor(len(changes)) as pool:
        answers = list(pool.map(lambda change: ann.patch(f"{PATH}/my_character", json=change), changes))
    assert {answer.status_code for answer in answers} == {200}
    now = ann.get(f"{PATH}/my_character").json()
    assert [{name: now[name] for name in change} for change in changes] == changes


def test_of_concurrent_edits_on_one_state_one_wins(ann: httpx.Client) -> None:
    held = {"if-match": made(ann).headers["etag"]}
    bodies = [{**FAQ, "scenario": f"number {number}"} for number in range(6)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: ann.put(f"{PATH}/my_character", json=body, headers=held), bodies))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200, *[412] * 5]
    winner = bodies[statuses.index(200)]["scenario"]
    assert ann.get(f"{PATH}/my_character").json()["scenario"] == winner


def test_a_list_is_searched_and_paged(ann: httpx.Client) -> None:
    made(ann, id="zoë".replace("ë", "e"), name="Zoë", description="Sails the Ærø", tags=["Sea", "élan"])
    made(ann, id="zack", name="Zack", tags=["sea"])
    assert everybody(ann, q="ZOE") == ["zoe"]
    assert everybody(ann, q="sea z") == ["zack", "zoe"]
    assert everybody(ann, q="sails nobody") == []
    assert everybody(ann, tag="ELAN") == ["gwen", "zoe"]
    assert everybody(ann, tag=["elan", "sea"]) == ["zoe"]
    assert everybody(ann, tag="ela") == []
    assert everybody(ann, origin="own") == ["zack", "zoe"]
    assert everybody(ann, origin="file") == ["gwen"]
    assert "ada" in everybody(ann, origin="built_in")
    whole, after, pages = everybody(ann), None, []
    while True:
        query = {"limit": 2} if after is None else {"limit": 2, "after": after}
        page = ann.get(PATH, params=query).json()
        pages += [one["id"] for one in page["data"]]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert pages == whole == sorted(whole)
    assert everybody(ann, after="zb") == ["zoe"], "one that is gone may be what a page ended with"
    assert ann.get(PATH, params={"after": "zz"}).json() == {
        "object": "list",
        "data": [],
        "has_more": False,
        "last_id": None,
    }
    assert ann.get(PATH, params={"limit": 101}).status_code == 422


@pytest.mark.parametrize(("name", "origin"), [("ada", "built_in"), ("gwen", "file")])
def test_an_override_is_the_tenants_own_and_can_be_taken_back(
    ann: httpx.Client, eve: httpx.Client, llm_server: FakeLLMServer, name: str, origin: str
) -> None:
    before = ann.get(f"{PATH}/{name}")
    assert before.json()["origin"] == origin
    assert ann.delete(f"{PATH}/{name}").status_code == 422
    assert ann.patch(f"{PATH}/{name}", json={}).json() == before.json(), "what changes nothing makes no override"
    held = {"if-match": before.headers["etag"]}
    changed = ann.patch(f"{PATH}/{name}", json={"system_prompt": "You are changed."}, headers=held).json()
    assert changed == {**before.json(), "system_prompt": "You are changed.", "origin": "override"} | {
        "schema_version": changed["schema_version"]
    }
    assert ann.get(f"{PATH}/{name}").json() == changed
    assert everybody(ann, origin="override") == [name]
    ann.post("/v1/chat/completions", json={"model": name, "messages": HELLO}).raise_for_status()
    assert "You are changed." in llm_server.requests[-1].prompt
    card = ann.get(f"{PATH}/{name}/export").json()
    assert card["data"]["system_prompt"] == "You are changed."
    eve.post("/v1/chat/completions", json={"model": name, "messages": HELLO}).raise_for_status()
    assert "You are changed." not in llm_server.requests[-1].prompt
    assert eve.get(f"{PATH}/{name}").json() == before.json()
    refused = ann.patch(f"{PATH}/{name}", json={"published": True})
    assert (refused.status_code, refused.json()["param"]) == (422, "published")
    assert ann.post(PATH, json={**FAQ, "id": name}).status_code == 409
    assert ann.delete(f"{PATH}/{name}").status_code == 204
    assert ann.get(f"{PATH}/{name}").json() == before.json()


def test_a_character_may_ask_for_a_model_that_is_offered(ann: httpx.Client, llm_server: FakeLLMServer) -> None:
    refused = ann.post(PATH, json={**FAQ, "model": "huge"})
    assert (refused.status_code, refused.json()["param"]) == (422, "model")
    made(ann, model="large", top_p=0.5, stop=["END"], seed=7, temperature=0.1)
    asked = {"model": "my_character", "messages": HELLO, "top_p": 0.9}
    ann.post("/v1/chat/completions", json=asked).raise_for_status()
    sent = llm_server.requests[-1].body
    assert (sent["model"], sent["stop"], sent["seed"], sent["temperature"]) == ("large", ["END"], 7, 0.1)
    assert sent["top_p"] == 0.9, "a request's own wins"


async def test_clients_turn_the_pages_of_many(door: str, redis_url: str) -> None:
    names = [f"one-{number:03}" for number in range(150)]
    with client(door, MAT) as mat, ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda name: mat.post(PATH, json={**FAQ, "id": name}).status_code, names))
        installed = everybody(mat, origin="built_in") + everybody(mat, origin="file")
    assert statuses == {201}
    async with Api.connected(door, MAT) as api:
        assert [one["id"] for one in await api.characters()] == sorted(names + installed)
    seat = Seat(Door(door), MAT)
    await seat.open(None)
    assert [one.id for one in seat.cast] == sorted(names + installed)


def test_both_replicas_read_files_again_and_stay_ready_over_mistakes(ann: httpx.Client, home: Path) -> None:
    path = home / "cast.yaml"
    good = path.read_text(encoding="utf-8")

    def both(name: str) -> bool:
        return all(ann.get(f"{PATH}/gwen").json()["name"] == name for _ in range(2))

    def checks() -> list[str]:
        answers = [ann.get("/readyz") for _ in range(2)]
        assert {answer.status_code for answer in answers} == {200}
        return [answer.json()["checks"]["character_files"] for answer in answers]

    assert both("Gwen")
    path.write_text(good.replace("Gwen", "Gwendolyn"), encoding="utf-8")
    asyncio.run(until(lambda: both("Gwendolyn"), 20))
    path.write_text("id: [", encoding="utf-8")
    asyncio.run(until(lambda: checks() == [MISTAKES, MISTAKES], 20))
    assert both("Gwendolyn")
    assert ann.get("/api/v1/health").json()["checks"]["character_files"] == MISTAKES
    path.write_text(good, encoding="utf-8")
    asyncio.run(until(lambda: both("Gwen") and checks() == ["ok", "ok"], 20))


@pytest.mark.parametrize("name", ["my_character", "ada"])
def test_a_picture_is_sent_replaced_and_taken_away(ann: httpx.Client, home: Path, name: str) -> None:
    made(ann)
    before = ann.get(f"{PATH}/{name}")
    address = f"{PATH}/{name}/portrait"
    first, second = png.plain(64, 64, (1, 2, 3)), (ROOT / "tests/data/portrait_photo.jpg").read_bytes()
    held = {"if-match": before.headers["etag"], "content-type": "image/png"}
    sent = ann.put(address, content=first, headers=held)
    assert (sent.status_code, sent.json()["capabilities"]) == (200, ["text", "speech", "video"]), sent.text
    assert ann.put(address, content=second, headers=held).status_code == 412
    assert ann.get(address).content == first
    assert ann.put(address, files={"file": ("me.jpg", second, "image/jpeg")}).status_code == 200
    shown = ann.get(address)
    assert (shown.content, shown.headers["content-type"]) == (second, "image/jpeg")
    assert len(list((home / "assets").rglob(f"portrait_{name}_*/asset.json"))) == 1, "what is replaced is removed"
    assert ann.delete(address).json()["portrait"] is None
    assert [ann.get(address).status_code for _ in range(2)] == [404, 404]
    assert ann.delete(address).status_code == 404
    ann.put(address, content=first, headers={"content-type": "image/png"}).raise_for_status()
    assert ann.delete(f"{PATH}/{name}").status_code == 204
    assert not list((home / "assets").rglob(f"portrait_{name}_*/asset.json"))
    assert ann.put(address, content=b"GIF89a", headers={"content-type": "image/png"}).status_code in {404, 422}
    assert ann.put(address, content=first, headers={"content-type": "image/gif"}).status_code == 422
