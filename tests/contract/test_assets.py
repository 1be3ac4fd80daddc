"""What holds for every store of assets: a folder, memory, and on loopback servers of S3's and of Google's protocol."""

import asyncio
import hashlib
import math
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fsspec import get_filesystem_class

from chatacter.chassis.errors import InvalidInput, Misconfigured, NotFound, Unavailable, UpstreamFailed
from chattr.adapters.assets_fsspec import FsspecAssets
from chattr.adapters.fakes.assets import FakeAssets
from chattr.domain.identity import Owner
from chattr.ports.assets import Assets
from tests import s3_server

pytestmark = pytest.mark.contract

ACME = Owner("acme")
WEBM = "video/webm"


def root_of(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "file":
        return (tmp_path / "assets").as_uri()
    if kind == "memory":
        return f"memory://{tmp_path.name}"
    return f"{request.getfixturevalue(f'{kind}_bucket')}/assets"


@pytest.fixture(params=["file", "memory", "s3", "gcs"])
async def stored(request: pytest.FixtureRequest, tmp_path: Path) -> FsspecAssets:
    return await FsspecAssets(root_of(request.param, request, tmp_path)).open()


@pytest.fixture(params=["fake", "file", "memory", "s3", "gcs"])
async def assets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Assets]:
    if request.param == "fake":
        yield FakeAssets()
        return
    yield await FsspecAssets(root_of(request.param, request, tmp_path)).open()


async def read(assets: Assets, asset_id: str, start: int = 0, stop: int | None = None, owner: Owner = ACME) -> bytes:
    return b"".join([chunk async for chunk in assets.read(owner, asset_id, start, stop)])


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_is_put_is_got(assets: Assets) -> None:
    data = bytes(range(256)) * 4000
    made = await assets.put(ACME, "video_1-1", data, WEBM)
    assert (made.media_type, made.size, made.sha256) == (WEBM, len(data), hashlib.sha256(data).hexdigest())
    assert await assets.info(ACME, "video_1-1") == made
    assert await read(assets, "video_1-1") == data
    assert await read(assets, "video_1-1", 10, 300_000) == data[10:300_000]
    assert await read(assets, "video_1-1", len(data) - 3) == data[-3:]


async def test_an_empty_asset_is_one(assets: Assets) -> None:
    await assets.put(ACME, "a", b"", WEBM)
    assert await read(assets, "a") == b""


async def test_a_second_put_replaces_the_first(assets: Assets) -> None:
    await assets.put(ACME, "a", b"old", WEBM)
    await assets.put(ACME, "a", b"new!", "video/mp4")
    found = await assets.info(ACME, "a")
    assert found is not None
    assert (found.size, found.media_type) == (4, "video/mp4")
    assert await read(assets, "a") == b"new!"


async def test_many_writers_of_one_asset_leave_a_whole_one(assets: Assets) -> None:
    """Readers meanwhile see one of them, never a mixture; what is read whole is held against its checksum."""
    films = [bytes([number]) * 70_000 for number in range(4)]
    await assets.put(ACME, "a", films[0], WEBM)

    async def reading() -> list[bytes]:
        return [await read(assets, "a") for _ in range(6)]

    seen, *_ = await asyncio.gather(reading(), *(assets.put(ACME, "a", film, WEBM) for film in films))
    assert set(seen) <= set(films)
    await assets.put(ACME, "a", b"last", WEBM)
    assert await read(assets, "a") == b"last"


async def test_what_is_no_longer_what_was_stored_is_not_given_out_whole(stored: FsspecAssets) -> None:
    async def reading(name: str) -> AsyncIterator[None]:
        async for chunk in stored.read(ACME, name):
            got.append(chunk)
            yield

    for size in (5, 600_000):
        data = bytes(number % 251 for number in range(size))
        for name, damaged in (("bit", data[:-1] + b"\xff"), ("short", data[:-1]), ("gone", None)):
            asset, got = await stored.put(ACME, name, data, WEBM), list[bytes]()
            path = f"acme/-/{name}/{asset.sha256}"
            await asyncio.to_thread(stored._files.remove, path)
            if damaged is not None:
                await asyncio.to_thread(stored._files.write, path, damaged)
            with pytest.raises(UpstreamFailed if damaged else NotFound):
                assert [None async for _ in reading(name)] == []
            assert sum(map(len, got)) < size
        with pytest.raises(UpstreamFailed):
            await read(stored, "short", size - 2, size)


async def test_owners_do_not_see_each_other(assets: Assets) -> None:
    await assets.put(ACME, "a", b"acme's", WEBM)
    for other in (Owner("other"), Owner("acme", "anna"), Owner("..", "acme")):
        assert await assets.info(other, "a") is None
        with pytest.raises(NotFound):
            await read(assets, "a", owner=other)
        assert not await assets.delete(other, "a")
    assert await read(assets, "a") == b"acme's"


async def test_what_is_stored_is_listed_by_age_for_everybody(assets: Assets) -> None:
    other = Owner("other", "a b@c")
    await assets.put(ACME, "a", b"x", WEBM)
    await assets.put(other, "b", b"y", WEBM)
    now = time.time()
    assert {pair async for pair in assets.names(before=now + 3600)} == {(ACME, "a"), (other, "b")}
    assert [pair async for pair in assets.names(before=now - 3600)] == []
    assert await assets.sweep(before=now + 3600) == 0
    assert await read(assets, "a") == b"x"


async def test_what_is_deleted_is_gone(assets: Assets) -> None:
    await assets.put(ACME, "a", b"x", WEBM)
    assert await assets.delete(ACME, "a")
    assert not await assets.delete(ACME, "a")
    assert await assets.info(ACME, "a") is None
    with pytest.raises(NotFound):
        await read(assets, "a")


@pytest.mark.parametrize("bad", ["", "..", "../a", "a/b", "a.b", "/etc/passwd", "a\x00b", "x" * 129])
async def test_an_id_is_no_path(assets: Assets, bad: str) -> None:
    with pytest.raises(InvalidInput):
        await assets.put(ACME, bad, b"x", WEBM)
    assert await assets.info(ACME, bad) is None
    assert not await assets.delete(ACME, bad)
    with pytest.raises(NotFound):
        await read(assets, bad)


async def test_no_owner_leads_out_of_the_folder(tmp_path: Path) -> None:
    assets = FsspecAssets((tmp_path / "assets").as_uri())
    await assets.open()
    for owner in (Owner("..", ".."), Owner(".hidden", "a/../../b"), Owner("%2E.", "x")):
        await assets.put(owner, "a", owner.tenant.encode(), WEBM)
    written = [path for path in files_under(tmp_path) if path.name == "asset.json"]
    assert len(written) == 3
    assert all((tmp_path / "assets").resolve() in path.resolve().parents for path in written)
    assert await read(assets, "a", owner=Owner("..", "..")) == b".."


async def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = FsspecAssets((tmp_path / "assets").as_uri())
    await assets.open()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(assets._files._fs, "mv", full, raising=False)
        with pytest.raises(Unavailable):
            await assets.put(ACME, "a", b"x" * 1000, WEBM)
    assert await assets.info(ACME, "a") is None
    assert files_under(tmp_path) == []


async def test_a_replaced_asset_leaves_no_old_bytes_for_long(stored: FsspecAssets) -> None:
    for data in (b"one", b"two", b"two"):
        await stored.put(ACME, "a", data, WEBM)
    await stored.put(ACME, "b", b"three", WEBM)
    assert await stored.sweep(before=time.time() - 3600) == 0
    assert await stored.sweep(before=time.time() + 3600) == 1
    assert await stored.sweep(before=time.time() + 3600) == 0
    assert (await read(stored, "a"), await read(stored, "b")) == (b"two", b"three")


async def test_bytes_that_are_put_again_during_a_sweep_stay(
    stored: FsspecAssets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for data in (b"one", b"two"):
        await stored.put(ACME, "a", data, WEBM)
    await asyncio.sleep(1.1)  # S3 tells whole seconds
    began, named = math.floor(time.time()), stored._named

    def late(files: Any) -> set[str]:
        names = named(files)
        stored._put("acme/-/a", "a", b"one", WEBM)
        return names

    monkeypatch.setattr(stored, "_named", late)
    assert await stored.sweep(before=began) == 0
    assert await read(stored, "a") == b"one"


async def test_who_reads_an_asset_that_is_replaced_reads_it_to_its_end(assets: Assets) -> None:
    old = bytes(range(250)) * 4000
    await assets.put(ACME, "a", old, WEBM)
    reading = assets.read(ACME, "a")
    got = await anext(reading)
    await assets.put(ACME, "a", b"new", WEBM)
    assert got + b"".join([chunk async for chunk in reading]) == old


async def test_a_cancelled_put_is_whole_or_absent(tmp_path: Path) -> None:
    assets = FsspecAssets((tmp_path / "assets").as_uri())
    await assets.open()
    task = asyncio.create_task(assets.put(ACME, "a", b"x" * 1_000_000, WEBM))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if (await assets.info(ACME, "a")) is not None:
        assert len(await read(assets, "a")) == 1_000_000
    assert len(files_under(tmp_path)) in {0, 2}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nosuch://bucket", "not known"),
        ("s3://bucket/folder", r"pip install 'chatacter\[s3\]'"),
        ("gs://bucket", r"pip install 'chatacter\[gcs\]'"),
        ("az://container", "pip install adlfs"),
        ("file:///proc/none/assets", "cannot be written to"),
    ],
)
async def test_a_store_that_cannot_be_used_says_so_at_start(
    url: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Misconfigured, match=f"ASSETS_URL: .*{told}"):
        await FsspecAssets(url).open()


@pytest.mark.parametrize("kind", ["s3", "gcs"])
async def test_a_bucket_is_the_operator_s_to_make(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    scheme = root_of(kind, request, tmp_path).partition(":")[0]
    with pytest.raises(Misconfigured, match="ASSETS_URL: cannot be written to"):
        await FsspecAssets(f"{scheme}://misspelt/assets").open()


@pytest.mark.parametrize("kind", ["s3", "gcs"])
async def test_another_replica_s_files_are_seen(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Two replicas are two processes: what one has listed must not hide what the other writes and removes."""
    root = root_of(kind, request, tmp_path)
    one, other = FsspecAssets(root), FsspecAssets(root)
    for replica in (one, other):
        get_filesystem_class(kind).clear_instance_cache()
        await replica.open()
    await one.put(ACME, "a", b"x", WEBM)
    assert await other.delete(ACME, "a")
    await other.put(ACME, "a", b"more", WEBM)
    await one.put(ACME, "a", b"most", WEBM)
    listed = other._files._fs.find(other._files._root)
    assert len(listed) == 3  # the last film, and the one that it replaced
    assert await read(other, "a") == b"most"
    assert await one.delete(ACME, "a")
    assert other._files._fs.find(other._files._root) == []


async def test_a_store_that_goes_away_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server.started(tmp_path) as server:
        s3_server.told(server, monkeypatch.setenv)
        assets = FsspecAssets(f"s3://{s3_server.BUCKET}")
        await assets.open()
        server.stop()
        with pytest.raises(Unavailable):
            await assets.info(ACME, "a")
