"""What holds for every test: a clean environment, no call off this machine, no blocking call in the event loop."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

pytest_plugins = (
    "tests.chromium",
    "tests.redis_server",
    "tests.fake_llm_server",
    "tests.gcs_server",
    "tests.listening",
    "tests.s3_server",
    "tests.tiny_speech",
)

LOOPBACK = ("127.", "localhost", "::1", "0.0.0.0", "::")
KEPT = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "CI", "XDG_DATA_HOME", "CHATACTER_HOME", "VIRTUAL_ENV"}
)
KEPT_PREFIXES = ("PYTEST_", "PIP_", "UV_", "SSL_", "COVERAGE_", "PYTHON", "npm_config_", "NPM_CONFIG_")
# Services under test read their settings from the environment that a test gives them, so the outer one is set aside.
TEST_SETTINGS = ("QDRANT_TEST_URL", "QDRANT_OPENAPI")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set aside every variable that could change what a service does, and any `.env` of the working folder."""
    for name in list(os.environ):
        if name not in KEPT and name not in TEST_SETTINGS and not name.startswith(KEPT_PREFIXES):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave the machine: no test may need the internet or a paid model."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def blockbuster(request: pytest.FixtureRequest) -> Iterator[BlockBuster | None]:
    """Fail on blocking calls that our services make in the event loop."""
    if request.node.get_closest_marker("e2e"):
        yield None
        return
    with blockbuster_ctx(scanned_modules=["chatacter", "chattr", "vocalizr", "visualizr"]) as guard:
        yield guard


@pytest.fixture(scope="session")
def models_home() -> Path:
    """The folder with installed models; `make test` fills it before it starts."""
    base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return Path(os.environ.get("CHATACTER_HOME") or base / "chatacter") / "models"
