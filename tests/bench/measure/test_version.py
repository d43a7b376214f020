"""Test the code version, which changes with every file that timings depend on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.measure.version import TREE, code_version


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for package in ("backends", "bench"):
        shutil.copytree(TREE / package, tmp_path / package)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("backends/numba/new.py", True),
        ("bench/host/new.py", True),
        ("bench/host/new/deep.py", True),
        ("bench/measure/new.py", True),
        ("bench/measure/new.c", True),
        ("bench/results/case.py", True),
        ("bench/test_step.py", True),
        ("bench/results/verdict.py", False),
        ("bench/show/new.py", False),
        ("bench/pick/new.py", False),
    ],
)
def test_a_file_that_a_timing_depends_on_changes_the_version(
    tree: Path, file: str, counts: bool
) -> None:
    before = code_version(tree)
    path = tree / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as text:
        text.write("# another line\n")
    assert (code_version(tree) != before) is counts
