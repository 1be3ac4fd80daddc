"""What `chatacter up` makes of its settings, and what it looks at before it starts anything."""

import stat
from pathlib import Path

import pytest

from chatacter.chassis.errors import Misconfigured
from chatacter.models.lock import Lock
from chatacter.supervise import preflight, up
from chatacter.supervise.private_redis import private_redis, socket_in
from chatacter.supervise.settings import LauncherSettings
from chatacter.supervise.supervisor import ending

pytestmark = pytest.mark.unit
GIGABYTE = 10**9


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> LauncherSettings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return LauncherSettings()


def test_by_default_everything_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(monkeypatch)
    assert list(up.ports(told)) == ["Chattr", "Vocalizr", "Visualizr"]
    assert set(up.models(told, Lock.read())) == set(Lock.read().profile("embedded"))


@pytest.mark.parametrize(
    ("variables", "services", "left_out"),
    [
        ({"ENABLE_VOICE_GENERATION": "false"}, ["Chattr", "Visualizr"], {"kokoro-82m", "english-g2p"}),
        ({"ENABLE_VIDEO_GENERATION": "false"}, ["Chattr", "Vocalizr"], {"mediapipe-face"}),
        ({"VOCALIZR__URL": "http://gpu:8001"}, ["Chattr", "Visualizr"], {"kokoro-82m", "english-g2p"}),
        ({"VISUALIZR__URL": "http://gpu:8002"}, ["Chattr", "Vocalizr"], {"mediapipe-face"}),
        (
            {"MODEL__URL": "http://llm/v1", "MODEL__NAME": "x", "MODEL__API_KEY": "y"},
            ["Chattr", "Vocalizr", "Visualizr"],
            {"qwen2.5-coder-0.5b-instruct"},
        ),
        ({"ENABLE_LONG_TERM_MEMORY": "false"}, ["Chattr", "Vocalizr", "Visualizr"], {"all-minilm-l6-v2"}),
    ],
)
def test_what_is_elsewhere_or_off_is_neither_started_nor_installed(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], services: list[str], left_out: set[str]
) -> None:
    told = settings(monkeypatch, **variables)
    assert list(up.ports(told)) == services
    assert set(Lock.read().profile("embedded")) - set(up.models(told, Lock.read())) == left_out


def test_another_installed_language_model_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(monkeypatch, MODEL__NAME="smollm2-135m-instruct")
    assert up.models(told, Lock.read())[0] == "smollm2-135m-instruct"


def test_a_larger_language_model_needs_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock.read()
    small = up.memory(settings(monkeypatch), lock)
    assert 2 * GIGABYTE < small < 3 * GIGABYTE
    assert up.memory(settings(monkeypatch, MODEL__NAME="qwen2.5-coder-1.5b-instruct"), lock) > small + 0.9 * GIGABYTE
    assert up.memory(settings(monkeypatch, MODEL__URL="http://llm/v1", ENABLE_VIDEO_GENERATION="false"), lock) < 1.2e9


def test_only_chattr_listens_beyond_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(monkeypatch, HOST="0.0.0.0", CHATTR_PORT="9000")
    processes = {process.name: process for process in up.services(told, {"SERVICE_TOKEN": "t"})}
    assert processes["Chattr"].environment["HOST"] == "0.0.0.0"
    assert processes["Chattr"].environment["PORT"] == "9000"
    assert processes["Vocalizr"].environment["HOST"] == "127.0.0.1"
    assert processes["Visualizr"].environment["SERVICE_TOKEN"] == "t"


def test_memory_is_told_where_it_is_tight_and_refused_where_it_cannot_do() -> None:
    assert preflight.memory_warning(3 * GIGABYTE, None) is None
    assert preflight.memory_warning(3 * GIGABYTE, 4 * GIGABYTE) is None
    warning = preflight.memory_warning(3 * GIGABYTE, 2 * GIGABYTE)
    assert warning is not None
    assert "about 3.00 GB of memory are needed and 2.00 GB are available" in warning
    with pytest.raises(Misconfigured, match=r"Too little memory: about 3\.00 GB"):
        preflight.memory_warning(3 * GIGABYTE, GIGABYTE)


def test_available_memory_is_read_where_the_system_tells(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal: 10 kB\nMemAvailable:    2048 kB\n")
    assert preflight.available_memory(told) == 2048 * 1024
    assert preflight.available_memory(tmp_path / "none") is None


def test_the_service_token_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    token = preflight.service_token(tmp_path)
    assert len(token) > 30
    assert preflight.service_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "service-token").stat().st_mode) == 0o600


def test_a_socket_path_that_is_too_long_for_the_system_is_moved(tmp_path: Path) -> None:
    with socket_in(tmp_path) as socket:
        assert socket.parent == tmp_path
    with socket_in(tmp_path / ("x" * 100)) as socket:
        assert len(str(socket)) < 100
    assert not socket.parent.exists()


def test_an_older_redis_is_kept_from_a_newer_ones_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "redis-server").write_text("#!/bin/sh\necho Redis server v=6.2.14 sha=0\n")
    (programs / "redis-server").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin:/usr/bin")
    folder = tmp_path / "redis"
    process = private_redis(folder, folder / "s", tmp_path / "log", {})
    assert "always" in process.command
    assert "noeviction" in process.command
    (folder / "appendonlydir").mkdir()
    with pytest.raises(Misconfigured, match="written by Redis 7 or newer"):
        private_redis(folder, folder / "s", tmp_path / "log", {})


def test_an_end_is_told_in_words() -> None:
    assert ending(3) == "ended by itself (exit code 3)"
    assert ending(-9) == "was killed, perhaps because memory ran out"
    assert ending(-15) == "was ended by SIGTERM"
