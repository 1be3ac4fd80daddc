"""What the images are made of, read from inference/Dockerfile. tests/e2e/test_images_replayed.py runs its steps."""

import fnmatch
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from chatacter.chassis.settings import ServiceSettings
from chatacter.models.lock import Lock
from chattr.settings import ChattrSettings
from scripts.manifests.programs import run
from tests.dockerfile import Dockerfile
from visualizr.settings import VisualizrSettings
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.manifests

ROOT = Path(__file__).parents[2]
FILE = ROOT / "inference" / "Dockerfile"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGES: dict[str, list[str]] = PYPROJECT["tool"]["chatacter"]["images"]
# The target, the build argument and the settings of each image.
BUILDS = {image: (image.removesuffix("-cuda"), "-cuda" if image.endswith("-cuda") else "") for image in IMAGES}
SETTINGS: dict[str, type[ServiceSettings]] = {
    "chattr": ChattrSettings,
    "vocalizr": VocalizrSettings,
    "visualizr": VisualizrSettings,
}
MODELS = {
    "chattr": {"all-minilm-l6-v2"},
    "vocalizr": {*Lock.read().profile("voice"), "perth-watermark"},
    "visualizr": set(Lock.read().profile("video")),
}
LISTENING = set(Lock.read().profile("listening"))
IGNORED = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]


def build(image: str) -> tuple[Dockerfile, str]:
    target, variant = BUILDS[image]
    return Dockerfile(FILE, VARIANT=variant), target


def enters_a_build(path: Path) -> bool:
    """Whether the context holds a file: the last pattern that fits decides. Source: Docker, ".dockerignore files"."""
    name, enters = str(path.relative_to(ROOT)), True
    for line in IGNORED:
        pattern = line.removeprefix("!")
        parents = [name, *(str(parent) for parent in Path(name).parents if str(parent) != ".")]
        plain = [pattern, pattern.removeprefix("**/")]
        if any(fnmatch.fnmatch(each, one) for each in parents for one in plain):
            enters = line.startswith("!")
    return enters


def test_hadolint_finds_nothing() -> None:
    found = run("hadolint", "--config", ROOT / ".hadolint.yaml", FILE)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("image", IMAGES)
def test_the_base_is_pinned_by_tag_and_digest(image: str) -> None:
    file, target = build(image)
    for stage in file.needed(target):
        assert re.fullmatch(r"docker\.io/library/python:\d+\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", file.base(stage))


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_as_nobody_in_particular(image: str) -> None:
    """The user that the chart names too, by number, so that Kubernetes can see that it is not root."""
    file, target = build(image)
    assert file.told(target).user == "10001:10001"
    made = next(each.value for each in file.stages["runtime"].all("RUN"))
    assert "--uid 10001" in made
    assert "--gid 10001" in made
    copied = [each for stage in file.lineage(target) for each in stage.all("COPY")]
    assert all(each.flag("chown") is None for each in copied), "what runs owns nothing that it is made of"


@pytest.mark.parametrize("image", IMAGES)
def test_the_last_stage_only_takes_what_was_made(image: str) -> None:
    """No package manager runs in it, and no source enters it: no compiler, no cache, no tests."""
    file, target = build(image)
    for stage in file.lineage(target):
        assert not re.search(r"\b(apt|apt-get|pip|gcc|make)\b", " ".join(each.value for each in stage.all("RUN")))
        assert {each.flag("from") for each in stage.all("COPY")} <= {f"{target}-build"}


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_copied_exists_and_enters_the_build(image: str) -> None:
    file, target = build(image)
    copied = []
    for stage in file.needed(target):
        told = file.told(stage)
        for copy in file.stages[stage].all("COPY"):
            if copy.flag("from") is None:
                copied += [ROOT / told.expanded(source) for source in copy.value.split()[:-1]]
    assert copied
    for path in copied:
        assert path.exists(), path
        assert enters_a_build(path), f"{path} is kept out by .dockerignore"


def test_nothing_else_enters_a_build() -> None:
    for name in (".git", ".env", "tests/conftest.py", "charts", "services/chattr/__pycache__/app.pyc", ".venv"):
        assert not enters_a_build(ROOT / name), name
    assert enters_a_build(ROOT / "services/chattr/characters/ada.yaml")


@pytest.mark.parametrize("image", IMAGES)
def test_it_installs_its_lock_with_hashes_and_the_project_without_the_index(image: str) -> None:
    file, target = build(image)
    stage = file.stages[f"{target}-build"]
    runs = [file.told(stage.name).expanded(each.value) for each in stage.all("RUN")]
    assert f"pip install --require-hashes --requirement /locks/{image}.lock" in runs
    assert any("--no-deps --no-index /wheels/" in each for each in runs)
    assert "--editable" not in " ".join(runs)


@pytest.mark.parametrize("image", IMAGES)
def test_it_carries_the_models_of_its_service(image: str) -> None:
    file, target = build(image)
    steps = [each.value for each in file.stages[f"{target}-build"].all("RUN")]
    runs = " ".join(each for each in steps if image.endswith("-cuda") or '${VARIANT}" ]' not in each)
    asked = " ".join(re.findall(r"chatacter models install ([a-z0-9. -]+?)&&", runs)).split()
    carried = MODELS[target] | (LISTENING if "listening" in IMAGES[image] else set())
    assert set(asked) == carried
    assert set(re.findall(r"/var/cache/chatacter/models/(\S+)", runs)) == carried


@pytest.mark.parametrize("image", IMAGES)
def test_it_starts_its_service_at_its_port(image: str) -> None:
    file, target = build(image)
    told = file.told(target)
    port = SETTINGS[target].model_fields["port"].default
    assert told.entrypoint == ["python", "-m", target]
    assert importlib.util.find_spec(f"{target}.__main__")
    assert (told.ports, told.environment["PORT"]) == ([port], str(port))
    assert told.stop_signal == "SIGTERM"


@pytest.mark.parametrize("process", ["chattr", "chattr.dispatcher", "chattr.ui"])
def test_the_chattr_image_runs_three_processes(process: str) -> None:
    assert importlib.util.find_spec(f"{process}.__main__")
    assert {"chattr", "ui"} <= set(IMAGES["chattr"])


@pytest.mark.parametrize("image", IMAGES)
def test_its_environment_is_settings_or_python_s(image: str) -> None:
    """A name that nothing reads would be a promise that nothing keeps."""
    file, target = build(image)
    told = file.told(target)
    settings = {name.upper() for name in SETTINGS[target].model_fields}
    others = {"PATH", "HOME", "HF_HOME", "NVIDIA_DRIVER_CAPABILITIES"}
    assert {name for name in told.environment if not name.startswith("PYTHON")} <= settings | others
    assert told.environment["HOST"] == "0.0.0.0"
    assert told.environment["HOME"] == "/tmp"
    assert told.environment["CHATACTER_HOME"] == "/opt/chatacter"


@pytest.mark.parametrize("image", IMAGES)
def test_its_labels_say_what_it_is(image: str) -> None:
    file, target = build(image)
    prefix = "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in file.told(target).labels.items()}
    assert labels["version"] == PYPROJECT["project"]["version"]
    assert labels["licenses"] == PYPROJECT["project"]["license"]
    assert labels["title"]
    assert labels["description"]
    assert labels["source"].startswith("https://")


def test_its_health_is_asked_without_curl() -> None:
    for image in IMAGES:
        file, target = build(image)
        told = file.told(target)
        assert told.healthcheck[:2] == ["python", "-c"]
        compile(told.healthcheck[2], "healthcheck", "exec")
        assert "'/readyz'" in told.healthcheck[2]
