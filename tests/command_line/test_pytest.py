"""Test that ``pytest`` runs the tests and ``pytest --benchmark-only`` the benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from bench.show.groups import KINDS, MISSING, power, title
from tests.support.runs import declare_faulty

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
"""A pytest plugin that prints the files with tests and does not import them."""

NO_TESTS = 5
"""Pytest's exit code if there are no tests."""

SMALL, LARGE = "numpy/100x1/float32", "numpy/1000000x1/float32"


def call(*arguments: object, folder: Path = ROOT, code: int = 0) -> list[str]:
    """Run pytest, check its exit code, and return its lines of output."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [*map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout.splitlines()


def files(listed: list[str]) -> set[str]:
    """Return the files of the tests in pytest's output."""
    return {line.partition("::")[0] for line in listed if "::" in line}


def test_plain_pytest_collects_every_test_and_no_benchmark(tmp_path: Path) -> None:
    (tmp_path / "unread.py").write_text(UNREAD)
    listed = call("--collect-only", "-s", "-p", "unread", folder=tmp_path, code=NO_TESTS)
    assert files(listed) == {
        str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py")
    }


def test_all_backends_collects_every_benchmark_of_every_backend_and_no_test() -> None:
    listed = call("--benchmark-only", "--all-backends", "--collect-only")
    assert files(listed) == {f"bench/{path.name}" for path in ROOT.glob("bench/test_*.py")}
    for case in (SMALL, "numpy:blocked/1000000x1/float32", "numpy:gram/10000x1/float32"):
        assert f"bench/test_step.py::test_step[{case}]" in listed
    assert f"bench/test_step.py::test_read[{SMALL.replace('numpy', 'read')}]" in listed


def test_by_default_the_steps_and_setup_of_plain_and_best_techniques_are_measured() -> None:
    listed = [line for line in call("--benchmark-only", "--collect-only") if "::" in line]
    tests = {line.partition("::")[2].partition("[")[0] for line in listed}
    assert tests == {"test_step", "test_place", "test_first_call"}
    backends = {line.partition("[")[2].partition("/")[0] for line in listed}
    assert {"numpy", "numpy:blocked"} <= backends
    assert "numpy:gram" not in backends
    order = [line.partition("[")[2].partition("/")[0].partition(":")[0] for line in listed]
    assert [name for name, _ in groupby(order)] == [*dict.fromkeys(order)]  # by library


def test_a_case_is_measured_by_every_benchmark_in_the_process_that_is_asked() -> None:
    cases = (f"--row={SMALL}", f"--row={SMALL.replace('numpy', 'read')}")
    lines = call("--benchmark-only", "--seconds=0.01", *cases)
    (outcome,) = [line for line in lines if " passed" in line]
    assert "failed" not in outcome
    table = "\n".join(lines)
    for kind in ("test_step", "test_place", "test_first_call", "test_new_shape"):
        assert f"'{title(kind, 100, 1, 'float32')}'" in table
    assert f"'{title('test_end_to_end', 100, 1, 'float32')}'" in table
    steps = table.partition("a step")[2].partition("benchmark '")[0]
    assert "\nread " in steps


# the figures


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """Return output and JSON of a benchmark of two sizes; one backend returns a wrong w."""
    folder = tmp_path_factory.mktemp("measured")
    declare_faulty(folder, drifting="w = w + (steps > 3)")
    names = ("numpy", "numpy:blocked", "drifting")
    cases = [f"--row={name}/{n}x1/float32" for n in (100, 1_000_000) for name in names]
    path = folder / "benchmarks.json"
    only = ("--benchmark-only", "--seconds=0.02", "--threads=1", f"--benchmark-json={path}")
    which = (ROOT / "bench" / "test_step.py", ROOT / "bench" / "test_setup.py")
    lines = call(*only, *cases, *which, folder=folder, code=1)
    return lines, json.loads(path.read_text())


def step(document: dict[str, Any], case: str) -> dict[str, Any]:
    (found,) = [b for b in document["benchmarks"] if b["name"] == f"test_step[{case}]"]
    return found


def group_line(lines: list[str], rows: int) -> int:
    """Return the index of the line with the title of this size's group of step times."""
    name = title("test_step", rows, 1, "float32")
    (found,) = [i for i, line in enumerate(lines) if name in line]
    return found


def test_a_time_is_a_steps(measured: tuple[list[str], dict[str, Any]]) -> None:
    _, document = measured
    small, large = (step(document, case) for case in (SMALL, LARGE))
    assert small["extra_info"]["steps"] > 20 * large["extra_info"]["steps"]
    assert large["stats"]["median"] > 20 * small["stats"]["median"]
    for benchmark in (small, large):
        stats, info = benchmark["stats"], benchmark["extra_info"]
        assert stats["ops"] == pytest.approx(1 / stats["mean"])  # steps a second
        nbytes = 8 * info["rows"]
        assert info["gb_per_s"] == pytest.approx(nbytes / stats["median"] / 1e9)


def test_the_json_says_what_was_measured(measured: tuple[list[str], dict[str, Any]]) -> None:
    _, document = measured
    blocked = step(document, "numpy:blocked/100x1/float32")["extra_info"]
    expected = {
        "backend": "numpy:blocked",
        "library": "numpy",
        "technique": "blocked",
        "device": "cpu",
        "rows": 100,
        "features": 1,
        "dtype": "float32",
        "verified": True,
        "threads": 1,
    }
    assert expected.items() <= blocked.items()
    assert 0 <= blocked["relative_error"] <= 1e-5
    assert step(document, "drifting/100x1/float32")["extra_info"]["verified"] is False
    (placed,) = [b for b in document["benchmarks"] if b["name"] == f"test_place[{SMALL}]"]
    assert placed["extra_info"]["gb_per_s"] is None
    assert placed["extra_info"]["steps"] == 0


def test_the_table_says_which_backend_is_fastest_at_each_size(
    measured: tuple[list[str], dict[str, Any]],
) -> None:
    """Check that each group has the backends of one size, the fastest first.

    A backend with a wrong w is in no group.
    """
    lines, document = measured
    text = "\n".join(lines)
    for rows in (100, 1_000_000):
        (start,) = [
            i for i, line in enumerate(lines) if title("test_step", rows, 1, "float32") in line
        ]
        shown = [line.split()[0] for line in lines[start + 3 : start + 5]]
        times = {
            name: step(document, f"{name}/{rows}x1/float32")["stats"]["min"]
            for name in ("numpy", "numpy:blocked")
        }
        assert shown == sorted(times, key=lambda name: times[name])
        assert set(lines[start + 5]) == {"-"}
    table = text.partition("Wrote benchmark data")[2].partition("Legend")[0]
    assert "drifting" not in table
    places = [
        text.index(title(kind, 100, 1, "float32")) for kind in ("test_step", "test_place")
    ]
    assert places == sorted(places)
    assert text.index(MISSING[0]) < places[0]


def test_compare_holds_steps_against_steps(tmp_path: Path) -> None:
    storage = f"--benchmark-storage=file://{tmp_path}"
    asked = ("--benchmark-only", "--seconds=0.02", f"--row={SMALL}", f"--row={LARGE}", storage)
    suite = ROOT / "bench" / "test_step.py"
    call(*asked, suite, "--benchmark-save=one")
    lines = call(*asked, suite, "--benchmark-compare")
    for rows in (100, 1_000_000):
        (at,) = [
            i for i, line in enumerate(lines) if title("test_step", rows, 1, "float32") in line
        ]
        shown = lines[at + 3 : at + 5]
        assert sorted(line.partition(")")[0] for line in shown) == [
            "numpy (0001_one",
            "numpy (NOW",
        ]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1, "1"),
        (100, "100"),
        (1234, "1,234"),
        (10_000, "10⁴"),
        (10**12, "10¹²"),
        (20_000, "20,000"),
    ],
)
def test_a_power_of_ten_is_short(value: int, words: str) -> None:
    assert power(value) == words


def test_every_benchmark_has_a_title() -> None:
    sources = [path.read_text(encoding="utf-8") for path in ROOT.glob("bench/test_*.py")]
    functions = {
        line.partition("(")[0].removeprefix("def ")
        for source in sources
        for line in source.splitlines()
        if line.startswith("def test_")
    }
    assert functions == KINDS.keys()
