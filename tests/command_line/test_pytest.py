"""Plain ``pytest`` runs the tests, ``pytest --benchmark-only`` the benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

UNREAD = """
import pytest


class Unread(pytest.Module):
    def collect(self):
        print(f"{self.path.relative_to(self.config.rootpath).as_posix()}::")
        return []


def pytest_pycollect_makemodule(module_path, parent):
    return Unread.from_parent(parent, path=module_path)
"""
"""A plugin that names the files which would be collected, and imports none of them."""

NO_TESTS = 5
"""Pytest's exit code where it collected none."""


def pytest(*arguments: str, folder: Path = ROOT, code: int = 0) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines()


def files(listed: list[str]) -> set[str]:
    """Return the files with the tests that would run."""
    return {line.partition("::")[0] for line in listed if "::" in line}


def test_plain_pytest_collects_every_test_and_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "unread.py").write_text(UNREAD)
    listed = pytest("--collect-only", "-s", "-p", "unread", folder=tmp_path, code=NO_TESTS)
    assert files(listed) == {
        str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")
    }


def test_benchmark_only_collects_every_benchmark_of_every_backend_and_no_test() -> None:
    listed = pytest("--benchmark-only", "--collect-only")
    assert files(listed) == {f"bench/{path.name}" for path in ROOT.glob("bench/test_*.py")}
    for row in ("numpy/100x1/float32", "numpy:blocked/1000000x1/float32"):
        assert f"bench/test_step.py::test_step[{row}]" in listed


def test_benchmarks_run_in_the_process_that_is_asked() -> None:
    rows = ("--row=numpy/100x1/float32", "--row=read/100x1/float32")
    lines = pytest("--benchmark-only", "--seconds=0.01", *rows)
    (outcome,) = [line for line in lines if " passed" in line]
    assert "failed" not in outcome
    table = " ".join(lines)
    names = ("test_step", "test_read", "test_place", "test_first_call", "test_new_shape")
    for name in (*names, "test_end_to_end"):
        assert name in table
