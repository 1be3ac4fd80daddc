"""Words and shapes that have no place here."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.repository import PYTHON, ROOT, Source, files, sources, texts

pytestmark = pytest.mark.architecture

EMPTY_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "misc"})
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
FLOATING_IMAGE = re.compile(r"(?:image|FROM|newTag|tag)\S*\s*[:=]?\s*\S*:latest\b|\btag:\s*[\"']?latest\b")
MACHINE = re.compile(r"/(?:home|Users)/[a-z]\w*/")
# The one module that reads the environment; tests and benchmarks start processes and may hand theirs on.
ENVIRONMENT = "services/chatacter/chassis/settings.py"
WEIGHTS = frozenset({".gguf", ".onnx", ".safetensors", ".pt", ".pth", ".tflite", ".npz", ".bin", ".ckpt"})
SMALL = 300_000


def lines_with(pattern: re.Pattern[str], left_out: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        if path != left_out
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("pattern", [UNFINISHED, FLOATING_IMAGE, MACHINE], ids=["unfinished", "floating", "machine"])
def test_no_file_says(pattern: re.Pattern[str]) -> None:
    assert lines_with(pattern, left_out=Path(__file__)) == []


def test_modules_have_names_that_say_something() -> None:
    assert [str(source) for source in sources(*PYTHON) if source.path.stem in EMPTY_NAMES] == []


def test_no_module_shares_its_name_with_a_package() -> None:
    twins = [source for source in sources(*PYTHON) if source.path.with_suffix("").is_dir()]
    assert [str(source) for source in twins] == []


def test_every_package_says_what_it_is() -> None:
    silent = [source for source in sources("services") if source.path.name == "__init__.py"]
    assert [str(source) for source in silent if not ast.get_docstring(source.tree)] == []


def test_the_environment_is_read_in_settings_only() -> None:
    readers = [source for source in sources("services") if source.name != ENVIRONMENT and reads_environment(source)]
    assert [str(source) for source in readers] == []


def reads_environment(source: Source) -> bool:
    """Whether it says `os.environ` or `os.getenv`, or imports either."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    said = {
        node.attr
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    return bool(names & said) or bool({f"os.{name}" for name in names} & set(source.imported()))


def test_services_keep_no_state_of_their_own() -> None:
    """No `global`, and no cache in place of a dependency."""
    found = []
    for source in sources("services"):
        statements = [node for node in ast.walk(source.tree) if isinstance(node, ast.Global)]
        found.extend(f"{source}:{statement.lineno} global" for statement in statements)
        if {"functools.lru_cache", "functools.cache"} & set(source.imported()):
            found.append(f"{source} caches in place of a dependency")
    assert found == []


def test_routes_alone_may_speak_http_errors() -> None:
    speakers = {str(s) for s in sources("services") if any(name.endswith(".HTTPException") for name in s.imported())}
    assert speakers <= {"services/chatacter/chassis/problems.py"}


def test_tests_replace_ports_and_patch_nothing() -> None:
    assert [str(s) for s in sources("tests") if any(name.startswith("unittest.mock") for name in s.imported())] == []


def test_every_test_module_has_one_category_that_is_its_folder() -> None:
    wrong = []
    for source in sources("tests"):
        if source.path.name.startswith("test_"):
            folder = source.path.relative_to(ROOT / "tests").parts[0]
            if f"\npytestmark = pytest.mark.{folder}\n" not in source.text:
                wrong.append(str(source))
    assert wrong == []


def test_no_weights_are_committed() -> None:
    heavy = [path for path in files() if path.suffix in WEIGHTS or path.stat().st_size > SMALL]
    assert [str(path.relative_to(ROOT)) for path in heavy if path.suffix != ".lock"] == []
