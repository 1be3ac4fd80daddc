"""Every process as a user that no passwd file names, without a home, on a read-only file system but for /tmp.

So do clusters run pods that give each namespace users of its own.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.architecture.repository import ROOT
from tests.fake_llm_server import FakeLLMServer
from tests.film_material import events, film_in, request
from tests.pods.rooms import FUNCTIONS, NAMESPACES, PROGRAMS, refusal
from tests.redis_server import free_port
from tests.service_process import ServiceProcess, until_ready

pytestmark = pytest.mark.e2e

if Path(sys.prefix).is_relative_to("/tmp"):
    pytest.skip("the packages lie under /tmp, which is hidden", allow_module_level=True)

USER = "1000730000"
HOME = "/opt/chatacter"
MODELS = ("all-minilm-l6-v2", "english-g2p", "kokoro-82m", "mediapipe-face")
GRACE = 10.0

Start = Callable[[str, Mapping[str, str]], AbstractContextManager[ServiceProcess]]


def entering(root: Path, tmp: Path, models: Path) -> str:
    """What a shell does before it becomes the process."""
    lines = [f"root={shlex.quote(str(root))}", FUNCTIONS]
    lines += [f"ln -s usr{place} $root{place}" for place in PROGRAMS if Path(place).is_symlink()]
    ours = [place for place in PROGRAMS if Path(place).is_dir() and not Path(place).is_symlink()]
    ours += dict.fromkeys([sys.base_prefix, sys.prefix, str(ROOT / "services")])
    lines += [f"ro {shlex.quote(place)} {shlex.quote(place)}" for place in ours]
    lines += [f": > $root/dev/{name}; mount --bind /dev/{name} $root/dev/{name}" for name in ("null", "urandom")]
    lines += ["ro /etc/ssl /etc/ssl", "cp /etc/ld.so.cache $root/etc/", "echo '127.0.0.1 localhost' > $root/etc/hosts"]
    lines += [f"ro {shlex.quote(str(models / name))} {HOME}/models/{name}" for name in MODELS]
    lines += [f"rw {shlex.quote(str(tmp))} /tmp", 'mount -o remount,bind,ro "$root"']
    rights = f"--reuid={USER} --regid={USER} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all"
    lines.append(f'exec {shutil.which("chroot")} "$root" {shutil.which("setpriv")} {rights} -- "$@"')
    return "\n".join(lines)


@contextmanager
def started(folder: Path, models: Path, module: str, settings: Mapping[str, str]) -> Iterator[ServiceProcess]:
    """Run a service so; when the block ends it gets SIGTERM as the first process of its container, and ends well."""
    root, tmp = folder / f"root-{module}", folder / f"tmp-{module}"
    root.mkdir()
    tmp.mkdir()
    tmp.chmod(0o1777)
    port = free_port()
    environment = {"PATH": os.environ["PATH"], "CHATACTER_HOME": HOME, "PORT": str(port), "SHUTDOWN_GRACE": str(GRACE)}
    command = [*NAMESPACES, "sh", "-euc", entering(root, tmp, models), "sh", sys.executable, "-m", module]
    log = folder / f"{module}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env={**environment, **settings}, stdout=out, stderr=subprocess.STDOUT)
    service = ServiceProcess(module, port, process, log)
    try:
        until_ready(service)
        yield service
        (first,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert process.wait(GRACE + 5) == 0, service.written()
        for trouble in ("Traceback", "Read-only", "Permission denied", "telemetry"):
            assert trouble not in service.written(), service.written()
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def start(tmp_path: Path, models_home: Path) -> Start:
    if (why := refusal()) is not None:
        pytest.skip(why)
    return lambda module, settings: started(tmp_path, models_home, module, settings)


def test_vocalizr_speaks(start: Start) -> None:
    body = {"model": "kokoro", "input": "Good evening. It is 1984.", "voice": "af_heart", "response_format": "wav"}
    with start("vocalizr", {}) as vocalizr:
        answer = httpx.post(f"{vocalizr.url}/v1/audio/speech", json=body, timeout=60)
        assert (answer.status_code, answer.content[:4]) == (200, b"RIFF")


def test_visualizr_films(start: Start) -> None:
    body = {**request("portrait", 1), "width": 128, "height": 128}
    with start("visualizr", {}) as visualizr:
        answer = httpx.post(f"{visualizr.url}/v1/video/generations", json=body, timeout=60)
        assert len(film_in(events(answer))) > 1000


def test_chattr_talks_and_its_dispatcher_and_page_are_ready(
    start: Start, redis_url: str, llm_server: FakeLLMServer
) -> None:
    settings = {
        "RECORDS__URL": redis_url,
        "MODEL__URL": llm_server.url,
        "MODEL__NAME": "scripted",
        "MEMORY__EXTRACTION": "off",
        "VECTOR_DATABASE__URL": "http://127.0.0.1:9",
        "ASSETS_URL": "file:///tmp/assets",
        "ENABLE_UI": "false",
        "RUN_DISPATCHER": "false",
    }
    with (
        start("chattr", settings) as chattr,
        start("chattr.dispatcher", settings),
        start("chattr.ui", {"CHATTR__URL": chattr.url}) as ui,
    ):
        said = httpx.post(f"{chattr.url}/api/v1/chat/message", json={"message": "Good day"}, timeout=60).json()
        assert said["response"] == "Hello, Good day!"
        assert httpx.get(ui.url).headers["content-type"].startswith("text/html")
        assert httpx.get(f"{ui.url}/readyz").json()["checks"] == {"chattr": "ok"}
