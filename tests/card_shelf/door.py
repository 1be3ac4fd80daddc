"""The public door for cards, and readers of what comes out that share nothing with what wrote it."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

from chatacter.chassis.auth import new_key
from tests.card_shelf import pictures
from tests.card_shelf.row import read_json
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import running

KEY, STORED = new_key("ann", "acme", ["characters"])
CHARACTERS = "/api/v1/characters"
ASSET = b"chara-ext-asset_:"


class Found(NamedTuple):
    """A card as it lies in a file."""

    document: Any
    picture: bytes | None = None
    """Without the chunks that are the card."""
    files: Mapping[str, bytes] = MappingProxyType({})
    cover: bytes = b""
    older: Any = None
    """The V2 beside a V3."""


@pytest.fixture(scope="module")
def keeper(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a real Chattr, allowed to keep characters."""
    home = tmp_path_factory.mktemp("collection")
    keys = home / "keys.json"
    keys.write_text(json.dumps([STORED.model_dump(mode="json")]))
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
    headers = {"authorization": f"Bearer {KEY}"}
    with running("chattr", home, given) as service, httpx.Client(base_url=service.url, headers=headers) as web:
        yield web


def imported(web: httpx.Client, data: bytes, kind: str = "application/octet-stream") -> str:
    answer = web.post(f"{CHARACTERS}/import", content=data, headers={"content-type": kind})
    assert answer.status_code == 201, answer.text
    name: str = answer.json()["id"]
    return name


def exported(web: httpx.Client, name: str, form: str = "json", version: int = 3) -> bytes:
    answer = web.get(f"{CHARACTERS}/{name}/export", params={"format": form, "spec": f"v{version}"})
    assert answer.status_code == 200, answer.text
    return answer.content


def opened(data: bytes) -> Found:
    """A file as others read it."""
    if data.startswith(pictures.SIGNATURE):
        return opened_picture(data)
    if not data.startswith((b"PK", b"\xff\xd8")):
        return Found(read_json(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        files = {f"embeded://{name}": archive.read(name) for name in archive.namelist() if not name.endswith("/")}
        first = min(entry.header_offset for entry in archive.infolist())
    return Found(read_json(files.pop("embeded://card.json")), None, files, data[:first])


def opened_picture(data: bytes) -> Found:
    rest, cards, files = [], {}, {}
    for part in pictures.parts_of(data):
        word, _, content = part.data.partition(b"\0")
        if part.kind == b"tEXt" and word in {b"chara", b"ccv3"}:
            assert word not in cards
            cards[word] = read_json(base64.b64decode(content, validate=True))
        elif part.kind == b"tEXt" and word.startswith(ASSET):
            files[f"__asset:{word.removeprefix(ASSET).decode()}"] = base64.b64decode(content, validate=True)
        else:
            rest.append(part)
    older = cards.get(b"chara")
    return Found(cards.get(b"ccv3", older), pictures.written(rest), files, b"", older if b"ccv3" in cards else None)
