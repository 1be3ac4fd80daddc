"""The repository as the tests of its shape see it: its files, its Python parsed, its Markdown read."""

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = ("services", "tests", "benchmarks", "scripts")
# Made by tools or by `make run`, never part of a change.
LEFT_OUT = frozenset({".git", ".venv", ".data", "node_modules", "build", "dist", "__pycache__"})
CACHES = re.compile(r"^\.[a-z_]+_cache$|^\.hypothesis$|\.egg-info$")
TEXT = frozenset({".py", ".md", ".toml", ".yaml", ".yml", ".lock", ".cfg", ".txt", ".sh", ".json", ".svg", ".tpl", ""})
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


class Source:
    """One Python file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def name(self) -> str:
        return str(self)

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, str(self))

    def imported(self) -> Iterator[str]:
        """Dotted names that it imports anywhere, `from a import b` as `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def files(folder: Path = ROOT) -> Iterator[Path]:
    """Every file that belongs to the repository, found without asking git."""
    for entry in sorted(folder.iterdir()):
        if entry.name in LEFT_OUT or CACHES.search(entry.name) or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from files(entry)
        else:
            yield entry


def texts() -> Iterator[Path]:
    """Every file that people write words in."""
    return (path for path in files() if path.suffix in TEXT)


def sources(*folders: str) -> list[Source]:
    """The Python files under these folders of the repository."""
    return [Source(path) for folder in folders if (ROOT / folder).is_dir() for path in python_in(ROOT / folder)]


def python_in(folder: Path) -> Iterator[Path]:
    """Python files, the ones without a suffix that say so in their first line among them."""
    for path in files(folder):
        if path.suffix == ".py" or (not path.suffix and "python" in first_line(path)):
            yield path


def first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline(200).decode("utf-8", "replace")


def prose(markdown: str) -> str:
    """Markdown without its fenced blocks, which hold no links and no headings."""
    return FENCE.sub("", markdown)


def anchors(markdown: str) -> set[str]:
    """The anchors that GitHub gives to headings; a repeated one gets a number."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#* *$", prose(markdown), re.MULTILINE):
        plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        names.add(f"{slug}-{found[slug]}" if slug in found else slug)
        found[slug] = found.get(slug, 0) + 1
    return names
