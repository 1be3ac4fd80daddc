"""Character cards through the public door: a real Chattr, a real Redis, two tenants."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatacter.chassis.auth import new_key
from chattr.domain.card import files, png
from chattr.domain.card.limits import LIMITS
from chattr.routes.cards import CARD_TYPES
from tests.architecture.repository import ROOT
from tests.card_material import DOT, Member, apng, charx, chunk_of, in_json, in_png, v1, v2, v3
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

ANN, ANN_KEY = new_key("ann", "acme", ["characters", "chat"])
EVE, EVE_KEY = new_key("eve", "evil", ["characters"])
CHATTY, CHATTY_KEY = new_key("chatty", "acme", ["chat"])
IMPORT = "/api/v1/characters/import"
ICON = {"type": "icon", "uri": "embeded://assets/icon/images/main.png", "name": "main", "ext": "png"}
PICTURE = in_png(chunk_of("ccv3", v3()), picture=apng())
ARCHIVE = charx(v3(assets=[ICON]), Member(b"assets/icon/images/main.png", DOT), Member(b"notes.bin", b"\x00\x01"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cards")


@pytest.fixture(scope="module")
def chattr(redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, home: Path) -> Iterator[ServiceProcess]:
    keys = home / "keys.json"
    keys.write_text(json.dumps([key.model_dump(mode="json") for key in (ANN_KEY, EVE_KEY, CHATTY_KEY)]))
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


def client(service: ServiceProcess, secret: str = ANN) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"authorization": f"Bearer {secret}"}, timeout=60)


@pytest.fixture
def ann(chattr: ServiceProcess) -> Iterator[httpx.Client]:
    with client(chattr) as opened:
        yield opened


def imported(web: httpx.Client, data: bytes, kind: str, **query: str) -> dict[str, Any]:
    answer = web.post(IMPORT, content=data, headers={"content-type": kind}, params=query)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/characters/{made['id']}"
    return made


def exported(web: httpx.Client, made: dict[str, Any], **query: str) -> bytes:
    answer = web.get(f"/api/v1/characters/{made['id']}/export", params=query)
    assert answer.status_code == 200, answer.text
    suffix = query.get("format", "json")
    assert answer.headers["content-disposition"] == f'attachment; filename="{made["id"]}.{suffix}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.content


def test_a_card_becomes_a_character_that_can_be_talked_with(ann: httpx.Client) -> None:
    made = imported(ann, in_json(v2()), "application/json")
    assert (made["id"], made["name"], made["origin"], made["schema_version"]) == ("rowan", "Rowan", "own", 3)
    assert made["greetings"][0] == "Mind the seedlings, {{user}}."
    assert made["warnings"] == []
    assert {key: value for key, value in made.items() if key != "warnings"} == ann.get(
        "/api/v1/characters/rowan"
    ).json()
    said = {"model": "rowan", "messages": [{"role": "user", "content": "Hello"}]}
    assert ann.post("/v1/chat/completions", json=said).status_code == 200
    again = imported(ann, in_json(v2()), "application/json")
    assert again["id"].startswith("rowan-")
    for each in (made, again):
        assert ann.delete(f"/api/v1/characters/{each['id']}").status_code == 204


@pytest.mark.parametrize("by_form", [True, False])
@pytest.mark.parametrize(
    ("data", "kind", "form"),
    [
        (in_json(v2()), "application/json", "json"),
        (in_json(v1(unknown=1)), "application/json", "json"),
        (PICTURE, "image/png", "png"),
        (PICTURE, "image/apng", "png"),
        (ARCHIVE, "application/zip", "charx"),
        (ARCHIVE, "application/octet-stream", "charx"),
        (b"\xff\xd8\xff\xe0 \xff\xd9" + ARCHIVE, "image/jpeg", "charx"),
    ],
)
def test_every_form_comes_back_whole(ann: httpx.Client, data: bytes, kind: str, form: str, by_form: bool) -> None:
    if by_form:
        answer = ann.post(IMPORT, files={"file": ("card", data, kind)})
        assert answer.status_code == 201, answer.text
        made = answer.json()
    else:
        made = imported(ann, data, kind)
    out = exported(ann, made, format=form)
    given, again = files.read(data).card, files.read(out).card
    assert files.write(again, "json") == files.write(given, "json")
    assert (again.picture, dict(again.files)) == (given.picture, dict(given.files))
    for other in ("json", "png", "charx"):
        assert files.read(exported(ann, made, format=other)).card.document["spec"] == "chara_card_v3"
        if other != "charx":
            older = files.read(exported(ann, made, format=other, spec="v2")).card
            assert older.document["spec"] == "chara_card_v2"
    assert ann.delete(f"/api/v1/characters/{made['id']}").status_code == 204


@pytest.mark.parametrize(("data", "face"), [(PICTURE, apng()), (ARCHIVE, DOT)])
def test_the_picture_is_the_portrait_and_goes_with_the_character(
    ann: httpx.Client, home: Path, data: bytes, face: bytes
) -> None:
    made = imported(ann, data, "application/octet-stream", id="pictured")
    portrait = ann.get("/api/v1/characters/pictured/portrait")
    assert (portrait.content, portrait.headers["content-type"]) == (face, "image/png")
    assert "sandbox" in portrait.headers["content-security-policy"]
    stored = [path.name for path in (home / "assets" / "acme").rglob(f"{made['card']}*")]
    assert sorted(stored) == sorted([made["card"], made["portrait"]])
    assert ann.delete("/api/v1/characters/pictured").status_code == 204
    assert list((home / "assets").rglob(f"{made['card']}*/asset.json")) == []


def test_a_character_from_no_card_can_be_exported_and_comes_back_the_same(ann: httpx.Client) -> None:
    body = {"id": "plain", "name": "Plain", "personality": "Even.", "voice": "af_sky", "greetings": ["Hi"]}
    assert ann.post("/api/v1/characters", json=body).status_code == 201
    given = ann.get("/api/v1/characters/plain").json()
    for form in ("json", "png", "charx"):
        made = imported(ann, exported(ann, given, format=form), "application/octet-stream", id=f"plain-{form}")
        differing = {"id", "card", "portrait", "capabilities", "warnings"}  # a PNG card has some picture
        assert {k: v for k, v in made.items() if k not in differing} == {
            k: v for k, v in given.items() if k not in differing
        }
        assert ann.delete(f"/api/v1/characters/plain-{form}").status_code == 204
    assert ann.delete("/api/v1/characters/plain").status_code == 204


@pytest.mark.parametrize("form", ["json", "png", "charx"])
@pytest.mark.parametrize("face", ["photo.png", "photo.jpg"])
def test_a_picture_that_was_sent_later_is_in_the_card(ann: httpx.Client, form: str, face: str) -> None:
    photo = (
        png.plain(64, 64, (9, 9, 9)) if face.endswith("png") else (ROOT / "tests/data/portrait_photo.jpg").read_bytes()
    )
    for data in (PICTURE, ARCHIVE, in_json(v2())):
        made = imported(ann, data, "application/octet-stream")
        sent = ann.put(f"/api/v1/characters/{made['id']}/portrait", files={"file": (face, photo)})
        assert sent.status_code == 200, sent.text
        out = exported(ann, made, format=form)
        assert files.read(out).card.document["data"]["name"] == "Rowan"
        if form != "json":
            again = imported(ann, out, "application/octet-stream")
            assert ann.get(f"/api/v1/characters/{again['id']}/portrait").content == photo
        if data is ARCHIVE and form == "charx":
            assert b"\x00\x01" in files.read(out).card.files.values(), "the other files stay"


def test_a_built_in_character_can_be_exported_with_its_portrait(ann: httpx.Client) -> None:
    card = files.read(exported(ann, {"id": "ada"}, format="charx")).card
    assert card.document["data"]["name"].startswith("Ada")
    assert card.files["embeded://assets/icon/images/main.svg"].lstrip().startswith(b"<")
    assert ann.delete("/api/v1/characters/ada").status_code == 422


@pytest.mark.parametrize(
    ("data", "kind", "query", "status", "word"),
    [
        (in_json(v2()), "text/plain", {}, 422, "multipart/form-data"),
        (b"", "application/json", {}, 422, "empty"),
        (b"{", "application/json", {}, 422, "line 1"),
        (b"{}", "application/json", {}, 422, "no character card"),
        (b'{"name":" "}', "application/json", {}, 422, "`name` is empty"),
        (PICTURE[:-1], "image/png", {}, 422, "cut off"),
        (DOT, "image/png", {}, 422, "carries no character card"),
        (charx(v3(), Member(b"../x")), "application/zip", {}, 422, "leads out"),
        (in_json(v2()), "application/json", {"id": "Not An Id"}, 422, "id: use 1 to 64"),
        (in_json(v2()), "application/json", {"id": "ada"}, 409, "already"),
        (b'{"a":"' + b"a" * (LIMITS.json_bytes + 1) + b'"}', "application/json", {}, 413, "8388608 bytes"),
    ],
)
def test_what_cannot_be_imported_is_told(
    ann: httpx.Client, home: Path, data: bytes, kind: str, query: dict[str, str], status: int, word: str
) -> None:
    before = set((home / "assets").rglob("asset.json"))
    answer = ann.post(IMPORT, content=data, headers={"content-type": kind}, params=query)
    assert (answer.status_code, word in answer.json()["detail"]) == (status, True), answer.text
    assert set((home / "assets").rglob("asset.json")) == before, "a refused card leaves nothing"


@pytest.mark.parametrize(
    ("form", "word"),
    [
        ({"files": {"other": ("c", b"{}")}}, "named `file`"),
        ({"data": {"file": "{}"}}, "named `file`"),
        ({"files": {"file": ("c", b"{}")}, "data": {"more": "1"}}, "nothing else"),
    ],
)
def test_a_form_holds_one_card(ann: httpx.Client, form: dict[str, Any], word: str) -> None:
    if "files" not in form:
        form = {**form, "files": {"x": ("c", b"")}}
    answer = ann.post(IMPORT, **form)
    assert (answer.status_code, word in answer.json()["detail"]) == (422, True), answer.text


def test_an_export_that_there_is_not(ann: httpx.Client) -> None:
    assert ann.get("/api/v1/characters/nobody/export").status_code == 404
    assert ann.get("/api/v1/characters/ada/export", params={"format": "gif"}).status_code == 422
    refused = ann.get("/api/v1/characters/ada/export", params={"format": "charx", "spec": "v2"})
    assert (refused.status_code, refused.json()["param"]) == (422, "spec")


def test_a_tenants_cards_are_its_own(chattr: ServiceProcess, ann: httpx.Client) -> None:
    made = imported(ann, PICTURE, "image/png", id="secret")
    with client(chattr, EVE) as eve:
        assert eve.get("/api/v1/characters/secret/export").status_code == 404
        assert eve.get("/api/v1/characters/secret/portrait").status_code == 404
        assert eve.delete("/api/v1/characters/secret").status_code == 404
        hers = imported(eve, in_json(v1(name="Eve's")), "application/json", id="secret")
        stolen = {"chatacter": {"portrait": made["portrait"], "card": made["card"]}}
        assert imported(eve, in_json(v3(extensions=stolen)), "application/json", id="thief")["portrait"] is None
        assert json.loads(exported(eve, hers))["data"]["name"] == "Eve's"
    assert json.loads(exported(ann, made)) == v3()
    with client(chattr, CHATTY) as chatty:
        assert chatty.post(IMPORT, content=b"{}").status_code == 403
        assert chatty.get("/api/v1/characters/secret/export").status_code == 403
    assert httpx.post(chattr.url + IMPORT, content=b"{}").status_code == 401


def test_an_import_says_with_what_it_speaks(ann: httpx.Client) -> None:
    card = in_json(v3(extensions={"chatacter": {"voice": "af_sky", "speech_model": "kokoro"}}))
    for placed, spoken in (
        ({}, ("af_sky", "kokoro")),
        ({"voice": "voice_1"}, ("voice_1", "kokoro")),
        ({"voice": "voice_1", "speech_model": "xtts"}, ("voice_1", "xtts")),
    ):
        made = imported(ann, card, "application/json", id="speaking", **placed)
        assert (made["voice"], made["speech_model"]) == spoken
        assert ann.delete("/api/v1/characters/speaking").status_code == 204
    answer = ann.post(IMPORT, content=in_json(v3()), params={"speech_model": "xtts"})
    assert answer.status_code == 422, "a model of no voice"


def test_a_repeated_import_makes_one_character(ann: httpx.Client) -> None:
    headers = {"idempotency-key": "card-1", "content-type": "image/png"}
    first, second = (ann.post(IMPORT, content=PICTURE, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["etag"] == first.headers["etag"]


async def test_many_at_once_get_ids_of_their_own(chattr: ServiceProcess) -> None:
    headers = {"authorization": f"Bearer {EVE}", "content-type": "application/json"}
    async with httpx.AsyncClient(base_url=chattr.url, headers=headers, timeout=60) as web:
        answers = await asyncio.gather(*(web.post(IMPORT, content=in_json(v1(name="Twin"))) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 8


def test_the_document_names_every_form(ann: httpx.Client) -> None:
    document = ann.get("/openapi.json").json()
    body = document["paths"][IMPORT]["post"]["requestBody"]["content"]
    assert set(body) == {*CARD_TYPES, "multipart/form-data"}
