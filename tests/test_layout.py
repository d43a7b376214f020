"""Test that files and functions are short, and that no test file imports another test file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MOST_LINES = {".py": 320, ".c": 320, ".js": 350, ".css": 350, ".j2": 350}
"""Suffix → largest allowed number of lines; scripts of the report's page may be longer."""

MOST_FUNCTION_LINES = 60
"""Largest allowed number of lines of a function, without its decorators.

For commands and for functions of the package `descentbench`, only the lines after the docstring
count. Reason: the parameters and docstrings are the documentation of options and functions.
"""


DOCUMENTS = {"README.md": 160, "docs/techniques.md": 300}
"""Document → its largest allowed number of lines."""


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))]
    return [path for path in found if path.suffix in MOST_LINES]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files("backends", "bench", "descentbench"), ids=name)
def test_no_file_is_longer_than_one_reads_at_a_time(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES[path.suffix]


@pytest.mark.parametrize(
    "path",
    [path for path in files("backends", "bench", "descentbench") if path.suffix == ".py"],
    ids=name,
)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    documented = (ROOT / "descentbench") in path.parents
    lengths = {f.name: length(f, documented=documented) for f in functions}
    assert not {name for name, lines in lengths.items() if lines > MOST_FUNCTION_LINES}


def length(function: ast.FunctionDef, *, documented: bool) -> int:
    end = function.end_lineno or function.lineno
    decorators = map(ast.unparse, function.decorator_list)
    if documented or any("command" in decorator for decorator in decorators):
        body = function.body[1:] if ast.get_docstring(function) else function.body
        return end - body[0].lineno + 1 if body else 0
    return end - function.lineno + 1


def test_no_test_file_imports_another_one() -> None:
    tests = [path for path in files("tests") if path.name.startswith("test_")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in tests}
    found = {
        (name(path), module)
        for path in tests
        for module in imported(ast.parse(path.read_text(encoding="utf-8")))
        if module in modules
    }
    assert not found


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a file imports: modules, and members that may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(("document", "most"), DOCUMENTS.items())
def test_documents_stay_short(document: str, most: int) -> None:
    assert len((ROOT / document).read_text(encoding="utf-8").splitlines()) <= most
