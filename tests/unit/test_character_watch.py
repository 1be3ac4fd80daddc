"""An operator's files are read again when they change: written over, added, removed, and swapped as a ConfigMap is."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.tasks import stopped
from chattr.adapters.character_watch import MISTAKES, CharacterFiles
from chattr.domain.character import Character
from tests.waiting import eventually

pytestmark = pytest.mark.unit

Taken = asyncio.Queue[Mapping[str, Character]]


def character(name: str, said: str = "Kind.") -> str:
    return f"id: {name}\nname: {name.title()}\npersonality: {said}\n"


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[tuple[CharacterFiles, Taken]]:
    files, taken = CharacterFiles(path, pause=0.01), Taken()
    taken.put_nowait(await files.read())
    task = asyncio.create_task(files.run(taken.put_nowait))
    try:
        yield files, taken
    finally:
        await stopped(task)


async def told(taken: Taken) -> dict[str, str]:
    async with asyncio.timeout(10):
        return {name: each.personality for name, each in (await taken.get()).items()}


async def says(files: CharacterFiles, sentence: str | None) -> bool:
    return await files.check() == sentence


async def test_a_file_that_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "cast.yaml"
    path.write_text(character("zoe"))
    async with watched(path) as (_, taken):
        assert await told(taken) == {"zoe": "Kind."}
        path.write_text(character("zoe", "Stern"))
        assert await told(taken) == {"zoe": "Stern"}
        replacement = tmp_path / "cast.new"
        replacement.write_text(character("zoe", "Quiet"))
        os.utime(replacement, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        replacement.replace(path)
        assert await told(taken) == {"zoe": "Quiet"}, "of the same size and time, and another file"


async def test_a_folder_whose_files_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(character("ann"))
    async with watched(tmp_path) as (_, taken):
        assert await told(taken) == {"ann": "Kind."}
        (tmp_path / "b.json").write_text('{"id": "bob", "name": "Bob", "personality": "Kind."}')
        assert await told(taken) == {"ann": "Kind.", "bob": "Kind."}
        (tmp_path / "a.yaml").unlink()
        assert await told(taken) == {"bob": "Kind."}


async def test_a_config_map_whose_link_is_swapped(tmp_path: Path) -> None:
    """As the kubelet's atomic writer does it: files link through `..data` to a dated folder."""

    def version(name: str, said: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "cast.yaml").write_text(character("zoe", said))
        os.utime(tmp_path / name / "cast.yaml", (1, 1))
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    version("..2026_01_01", "Kind.")
    (tmp_path / "cast.yaml").symlink_to(Path("..data") / "cast.yaml")
    async with watched(tmp_path) as (_, taken):
        assert await told(taken) == {"zoe": "Kind."}
        version("..2026_01_02", "Bold.")
        (tmp_path / "..2026_01_01" / "cast.yaml").unlink()
        assert await told(taken) == {"zoe": "Bold."}


async def test_mistakes_are_told_and_what_was_good_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cast.yaml"
    path.write_text(character("zoe"))
    async with watched(path) as (files, taken):
        await told(taken)
        assert await files.check() is None
        for bad in ("id: [", "id: 2026-13-45", "id: \x01", "2026-01-01: x", "a: &a [*a]", "[" * 20_000):
            path.write_text(bad)
            await eventually(lambda: says(files, MISTAKES), 10)
            assert taken.empty()
            path.write_text(character("zoe", "Back."))
            assert await told(taken) == {"zoe": "Back."}
            assert await files.check() is None
        path.unlink()
        await eventually(lambda: says(files, MISTAKES), 10)
        path.write_text(character("zoe", "Again."))
        assert await told(taken) == {"zoe": "Again."}
    assert any("cast.yaml:1: this is not YAML" in message for message in caplog.messages)


async def test_mistakes_at_the_start_are_raised(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no file or folder"):
        await CharacterFiles(tmp_path / "nothing").read()
