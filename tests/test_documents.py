"""Test that documented commands run, and that documented options, files and sessions exist.

`tests.support.documents.small` shortens the commands so that they end in seconds.
"""

from __future__ import annotations

import ast
import doctest
import os
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pytest

import backends
from backends.catalogue import select
from bench.cli import COMMANDS
from bench.fit.model import Model, write_model
from tests.support import records
from tests.support.command import declare
from tests.support.documents import (
    PAGES,
    ROOT,
    Example,
    examples,
    named_backends,
    python_blocks,
    skeleton,
    small,
)

ALL = examples()
OURS = {small(e.command[1:]): e for e in ALL if e.command[0] == "descentbench"}
"""Shortened command → one of its examples, if possible one that shows output."""
OURS |= {small(e.command[1:]): e for e in ALL if e.command[0] == "descentbench" and e.output}

OTHERS = ("python3", ".venv/bin/pip", ".", "dask", "pytest", "pip")
"""Programs that this file does not run; `tests/command_line/test_pytest.py` tests pytest."""

NEEDS = {
    "numba": "numba",
    "torch": "torch",
    "jax": "jax",
    "dask": "distributed",
    "--plot": "matplotlib",
    "plot": "matplotlib",
    "report": "jinja2",
    ".parquet": "pyarrow",
}
"""Part of a command → module that is needed to run it."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples name."""
    folder = tmp_path_factory.mktemp("documents")
    here = folder / "here"
    (here / "parts").mkdir(parents=True)
    (folder / "other-checkout").symlink_to(ROOT)
    rng = np.random.default_rng(0)
    x = rng.random((60, 3))
    table = np.column_stack([x, 1 + x @ [2.0, 3.0, 1.0]])
    names = ["area", "rooms", "area, m²", "price"]
    header = ",".join(f'"{name}"' for name in names)
    csv = here / "houses.csv"
    np.savetxt(csv, table, delimiter=",", header=header, comments="", encoding="utf-8")
    (here / "mine.py").write_text(python_blocks(ROOT / "docs/losses.md")[0], encoding="utf-8")
    write_model(here / "model.json", Model(tuple(names[:3]), (2.0, 3.0, 1.0), 1.0, "huber"))
    np.save(here / "X.npy", x)
    np.save(here / "y.npy", table[:, -1])
    if find_spec("pyarrow"):
        import pyarrow as pa
        from pyarrow import parquet

        rows = pa.table(dict(zip(names, table.T, strict=True)))
        for name in ("rows.parquet", "parts/1.parquet", "parts/2.parquet"):
            parquet.write_table(rows, here / name)
    for i, name in enumerate(("before", "after")):
        revision = ("1f3a9c2", "8d20b71")[i].ljust(40, "0")
        created = f"2026-11-2{i}T10:00:00.000+00:00"
        one = records.record(seed=i, name=name, revision=revision, created=created)
        one.save(here / ".benchmarks" / f"run-{i}.json")
    records.record().save(here / "laptop.json")
    records.record(records.SERVER).save(here / "server.json")
    return here


def run(place: Path, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=place,
        input=(place / "houses.csv").read_text(encoding="utf-8") if "-" in arguments else None,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def missing(arguments: tuple[str, ...]) -> str:
    """Return the module that a command needs and this environment lacks."""
    needed = (m for part, m in NEEDS.items() if any(part in word for word in arguments))
    return next((m for m in needed if find_spec(m) is None), "")


@pytest.mark.parametrize("arguments", OURS, ids=" ".join)
def test_a_documented_command_runs(arguments: tuple[str, ...], place: Path) -> None:
    if lacking := missing(arguments):
        pytest.skip(f"needs {lacking}")
    example = OURS[arguments]
    if "--resume" in arguments:
        earlier = tuple(word.replace("--resume", "--checkpoint") for word in arguments)
        assert run(place, earlier).returncode == 0
    done = run(place, arguments)
    assert done.returncode == 0, f"{example.where}: {done.stderr}"
    assert_shown(example, unchanged=arguments == example.command[1:], output=done.stdout)


def assert_shown(example: Example, *, unchanged: bool, output: str) -> None:
    """Compare the output with the documented output, up to the first ellipsis."""
    shown = "\n".join(example.output).partition("…\n")[0].removesuffix("…").strip()
    if unchanged:
        assert shown in output
    else:
        assert skeleton(shown) in skeleton(output)


@pytest.mark.parametrize("arguments", {e.command[1:]: None for e in ALL}, ids=" ".join)
def test_a_documented_backend_exists(arguments: tuple[str, ...]) -> None:
    for name in named_backends(arguments):
        if not missing((name,)):
            assert select((name,))


def test_every_other_command_is_known() -> None:
    """Check that each documented program is tested in this file or listed in `OTHERS`."""
    programs = {e.command[0] for e in ALL} - {"descentbench", "nox", "./nox.sh"}
    assert programs <= {*OTHERS}


def sessions() -> set[str]:
    """Return the names of nox's sessions."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    decorated = [f for f in functions if f.decorator_list]
    return {f.name.replace("_", "-") for f in decorated}


def test_documented_sessions_exist_and_contributing_names_all() -> None:
    named = {(e.where, e.command[e.command.index("-s") + 1]) for e in ALL if "-s" in e.command}
    assert {name for _, name in named} <= sessions()
    told = {name for where, name in named if where == "CONTRIBUTING.md"}
    assert sessions() - told == {"environment"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_documented_options_exist(page: Path) -> None:
    commands = [getattr(import_module(f"bench.commands.{c}"), c) for c in COMMANDS]
    checks = sorted(path.stem for path in ROOT.glob("bench/checks/*.py"))
    modules = [import_module(f"bench.checks.{name}") for name in checks if name != "__init__"]
    modules.append(import_module("descentbench.checks.regression"))
    commands += [m.main for m in modules if isinstance(getattr(m, "main", None), click.Command)]
    known = {o for command in commands for p in command.params for o in p.opts}
    known |= {*re.findall(r"--[a-z-]+", (ROOT / "noxfile.py").read_text(encoding="utf-8"))}
    known |= {"--help", "--benchmark-only", "--nthreads"}
    code = " ".join(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    assert {*re.findall(r"(?<!\S)--[a-z][a-z-]+", code)} <= known


def test_files_that_nox_names_exist() -> None:
    text = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    paths = re.findall(r"\b(?:backends|bench|tests)/[\w/]+\.py", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_documented_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = re.findall(r"`((?:backends|bench|tests|docs)/[\w/.*-]+)`", text)
    assert [path for path in paths if not [*ROOT.glob(path)]] == []


def test_the_python_example_of_the_readme_runs() -> None:
    blocks = python_blocks(ROOT / "README.md")
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102


def test_the_log_loss_tutorial_prints_the_same_figures_in_all_libraries() -> None:
    """Run the four programs of the tutorial; each must print exactly the documented output."""
    page = ROOT / "docs" / "tutorial-log-loss.md"
    blocks = python_blocks(page)
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    assert len(shown) == 1
    for block in blocks:
        assert len([line for line in block.splitlines() if line]) <= 20
        imported = re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE)
        if all(find_spec(name) for name in imported):
            done = subprocess.run(
                [sys.executable, "-c", block], capture_output=True, text=True, check=False
            )
            assert done.stdout == shown[0], done.stderr


def test_the_backend_in_contributing_is_a_whole_one(tmp_path: Path) -> None:
    (block,) = python_blocks(ROOT / "CONTRIBUTING.md")
    library = 'LIBRARY = Library("mine", "mine", needs="numpy")'
    declare(tmp_path, "mine", f"{block}\nfrom backends.names import Library\n\n{library}\n")
    (tmp_path / "check.py").write_text(
        "from tests.support.contract import check_iterates\n"
        "for features in (1, 3):\n"
        "    for dtype in ('float32', 'float64'):\n"
        "        check_iterates('mine', dtype, features)\n"
    )
    done = subprocess.run(
        [sys.executable, "check.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_example_in_the_package_s_docstring_runs() -> None:
    failed, tried = doctest.testmod(backends)
    assert tried
    assert not failed
