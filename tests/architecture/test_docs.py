"""The documents keep up with the code: links lead somewhere, generated pages are fresh, dependencies explained."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from tests.architecture.repository import ROOT, anchors, files, prose

pytestmark = pytest.mark.architecture

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)")
DISTRIBUTION = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


def documents() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def declared() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def named(*lists: list[str]) -> set[str]:
    """The distributions in these lists by their normalised names; our own extras are not among them."""
    names = {DISTRIBUTION.match(entry)[0] for entries in lists for entry in entries}  # type: ignore[index]
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names} - {"chatacter"}


def direct_dependencies() -> set[str]:
    """Every distribution that our Python imports or may import."""
    project = declared()["project"]
    return named(project["dependencies"], *project["optional-dependencies"].values())  # type: ignore[attr-defined]


def tools() -> set[str]:
    """Every distribution of which only programs are run."""
    return named(*declared()["dependency-groups"].values())


@cache
def anchors_of(document: Path) -> set[str]:
    return anchors(document.read_text("utf-8"))


@pytest.mark.parametrize("document", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in LINK.findall(prose(document.read_text("utf-8"))):
        if ELSEWHERE.match(target):
            continue
        path, _, anchor = unquote(target).partition("#")
        place = (document.parent / path).resolve() if path else document
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors_of(place)):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_docs_can_be_reached_from_their_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked, waiting = {index}, [index]
    while waiting:
        page = waiting.pop()
        for target in LINK.findall(prose(page.read_text("utf-8"))):
            place = (page.parent / unquote(target).partition("#")[0]).resolve()
            if place.suffix == ".md" and place.is_file() and place not in linked:
                linked.add(place)
                waiting.append(place)
    pages = {page for page in files(ROOT / "docs") if page.suffix == ".md"}
    assert sorted(str(page.relative_to(ROOT)) for page in pages - linked) == []


def test_each_direct_dependency_is_explained() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs" / "dependencies.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(set(rows)), "a dependency stands there twice"
    assert set(rows) == direct_dependencies() | tools()


def test_generated_pages_are_fresh() -> None:
    command = [sys.executable, "scripts/render", "--check"]
    run = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_changelog_tells_what_is_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    section = re.search(r"^## \[?Unreleased\]?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, "CHANGELOG.md has no Unreleased section"
    assert re.search(r"^- \S", section[1], re.MULTILINE), "nothing is said under Unreleased"


def test_decisions_are_numbered_and_whole() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text("utf-8")
        assert text.startswith(f"# {path.name[:4]} "), f"{path.name} does not begin with its number"
        assert {"context", "decision", "consequences"} <= anchors(text), f"{path.name} lacks a part"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock", "requirements-tools.lock"])
def test_locks_name_no_address_and_no_torch(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    assert not re.search(r"^(torch|nvidia-[a-z0-9-]+|triton)==", text, re.MULTILINE)
    pinned = re.findall(r"^[a-z0-9][a-z0-9._-]*==", text, re.MULTILINE)
    assert len(pinned) <= text.count("--hash=sha256:")


@pytest.mark.parametrize(
    ("locks", "asked"),
    [(("requirements-dev.lock", "inference/locks/*.lock"), direct_dependencies), (("requirements-tools.lock",), tools)],
)
def test_each_release_of_a_direct_dependency_is_locked(locks: tuple[str, ...], asked: Callable[[], set[str]]) -> None:
    text = "".join(lock.read_text("utf-8") for pattern in locks for lock in ROOT.glob(pattern))
    locked = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==", text, re.MULTILINE))
    assert asked() - locked == set()


def test_no_direct_dependency_has_a_strong_copyleft() -> None:
    """Weak copyleft is argued in docs/dependencies.md; GPL and AGPL would reach our users' code."""
    strong = re.compile(r"(?<!L)(?<!LESSER )\bA?GPL|GNU (?:AFFERO )?GENERAL PUBLIC", re.IGNORECASE)
    found = {}
    for name in direct_dependencies():
        if find_distribution(name):
            about = metadata.metadata(name)
            stated = [about.get("License-Expression") or "", (about.get("License") or "").partition("\n")[0]]
            stated += [each for each in about.get_all("Classifier") or [] if each.startswith("License")]
            if any(strong.search(each) for each in stated):
                found[name] = stated
    assert found == {}


def find_distribution(name: str) -> bool:
    return any(metadata.distributions(name=name))


@pytest.mark.parametrize("form", ["bug.yml", "feature.yml"])
def test_issue_forms_ask_for_something(form: str) -> None:
    """Source: GitHub, "Syntax for GitHub's form schema"."""
    told = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / form).read_text("utf-8"))
    assert told["name"]
    assert told["description"]
    fields = [field for field in told["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields) > 0
    assert all(field["attributes"]["label"] for field in fields)
