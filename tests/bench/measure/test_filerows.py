"""Test ``descentbench run --data``: rows of a file, in memory or streamed in every step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.measure.filerows import FileRows, rows_of
from bench.pick.observations import measurements
from bench.results.record import Record

ROWS, FEATURES = 2_000_000, 4


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose rows are so large that a learning rate of 0.001 diverges."""
    rows = 50 * np.random.default_rng(0).normal(size=(ROWS, FEATURES + 1))
    rows[:, -1] += rows[:, :-1] @ [1, 2, 3, 4]
    path = tmp_path_factory.mktemp("data") / "rows.npy"
    np.save(path, rows.astype(np.float32))
    return path


def run(store: Path, *arguments: object) -> Result:
    few = ["--store", str(store), "--passes", "1", "--seconds", "0.02", "--more", "0"]
    return CliRunner().invoke(main, ["run", *few, *map(str, arguments)])


@pytest.mark.parametrize(("memory", "streamed"), [("1GB", False), ("110MB", True)])
def test_rows_of_a_file_are_measured_and_checked(
    file: Path, tmp_path: Path, memory: str, streamed: bool
) -> None:
    done = run(tmp_path, "--data", file, "--memory", memory, "-b", "numpy:blocked", "--json")
    assert done.exit_code == 0, done.output
    assert ("reads them anew" in done.stderr) is streamed
    (row,) = json.loads(done.stdout)["results"]
    assert (row["rows"], row["features"], row["verified"]) == (ROWS, FEATURES, True)
    (record,) = map(Record.load, tmp_path.glob("run-*.json"))
    assert record.request["data"]["streamed"] is streamed
    assert not list(measurements([record]))  # a pick does not use rows of files


def test_too_little_memory_is_a_row_that_says_so(file: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "--data", file, "--memory", "10MB", "-b", "numpy", "--json")
    assert done.exit_code == 1
    (row,) = json.loads(done.stdout)["results"]
    assert "too little to stream with" in row["reason"]


def test_sizes_are_the_files_own(file: Path, tmp_path: Path) -> None:
    for more in (("--rows", 10), ("--features", 2), ("--limit",)):
        done = run(tmp_path, "--data", file, *more)
        assert done.exit_code == 2
        assert "--data cannot be combined with --rows, --features or --limit" in done.stderr
    missing = run(tmp_path, "--data", tmp_path / "none.npy")
    assert missing.exit_code == 2
    assert "there is no such file" in missing.stderr


def test_a_child_is_told_by_its_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FileRows.told() is None
    rows = FileRows(str(file), ("1", "0"), "4", 10**9)
    for name, value in rows.environment().items():
        monkeypatch.setenv(name, value)
    told = FileRows.told()
    assert told == rows
    assert rows_of(told, "float32", "squared_error").features == 2
    assert told.open("float32").load().x[5] == pytest.approx(np.load(file)[5, [1, 0]])
