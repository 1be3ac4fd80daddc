"""Where tests fetch models from: a publisher that breaks off, lies or is away, and packages without an index."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from chatacter.models import fetch


class Publisher:
    """A file server on loopback that understands Range, and can break off, lie or refuse."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.break_off_after: int | None = None
        self.ranges = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("range")
                publisher.asked.append((self.path[1:], wanted))
                body = publisher.files.get(self.path[1:])
                if body is None:
                    self.send_error(404)
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and publisher.ranges else 0
                self.send_response(206 if start else 200)
                self.send_header("content-length", str(len(body) - start))
                self.end_headers()
                cut, publisher.break_off_after = publisher.break_off_after, None
                self.wfile.write(body[start:] if cut is None else body[start : start + cut])

            def log_message(self, *words: Any) -> None:
                """Stay quiet."""

        return Handler


class Shelf:
    """Packages that tests put there, handed out as pip and npm would."""

    def __init__(self) -> None:
        self.archives: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.before: Callable[[], None] = lambda: None

    def __call__(self, requirement: str, folder: Path, moved: fetch.Moved) -> Path:
        self.fetched.append(requirement)
        self.before()
        if requirement not in self.archives:
            raise fetch.SourceFailed(f"pip failed: no {requirement}")
        path = folder / "archive.whl"
        path.write_bytes(self.archives[requirement])
        moved(path.stat().st_size)
        return path


def wheel(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarball(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
