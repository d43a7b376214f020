"""Test a file three times as large as the allowed memory: w must be right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.lib.format import open_memmap

from backends.problem import TOLERANCE, make_problem
from backends.reference import relative_error

ALLOWED = 400_000_000
"""Allowed memory in bytes; the interpreter, NumPy and pyarrow take about 100 MB of it."""

REPEATS = 240

RATE = 0.001

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

FIT = """
import atexit, sys
from pathlib import Path
from bench.cli import main

status = Path("/proc/self/status")
atexit.register(lambda: print(status.read_text(), file=sys.stderr))
main()
"""


def some_rows() -> np.ndarray:
    """Return some random rows; the file repeats these rows, so that its w is the same."""
    return np.random.default_rng(0).random((320_000, 4), dtype=np.float32)


def write_npy(folder: Path, rows: np.ndarray) -> Path:
    path = folder / "rows.npy"
    shape = (REPEATS * len(rows), rows.shape[1])
    whole = open_memmap(path, mode="w+", dtype=rows.dtype, shape=shape)
    for part in np.split(whole, REPEATS):
        part[:] = rows
    return path


def write_parquet(folder: Path, rows: np.ndarray) -> Path:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / "rows.parquet"
    table = pa.table({f"c{j}": np.ascontiguousarray(column) for j, column in enumerate(rows.T)})
    plain = {"compression": "none", "use_dictionary": False}
    with parquet.ParquetWriter(path, table.schema, **plain) as writer:
        for _ in range(REPEATS):
            writer.write_table(table)
    return path


def write_arrow(folder: Path, rows: np.ndarray) -> Path:
    return written_arrow(folder, rows, 1)


def write_one_batch(folder: Path, rows: np.ndarray) -> Path:
    """Write all rows as one Arrow batch, as polars does; return the file's path."""
    return written_arrow(folder, rows, REPEATS)


def written_arrow(folder: Path, rows: np.ndarray, repeats: int) -> Path:
    pa = pytest.importorskip("pyarrow")
    path = folder / "rows.arrow"
    table = pa.table({f"c{j}": np.tile(column, repeats) for j, column in enumerate(rows.T)})
    with pa.ipc.new_file(str(path), table.schema) as file:
        for _ in range(REPEATS // repeats):
            file.write_table(table)
    return path


def fit(path: Path, *arguments: object) -> tuple[dict[str, object], int]:
    """Fit in a new process; return its JSON output and its peak memory in bytes."""
    command = [sys.executable, "-c", FIT, "fit", "--data", path, "--json", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    (peak,) = re.findall(r"VmHWM:\s*(\d+) kB", done.stderr)
    return json.loads(done.stdout), 1024 * int(peak)


@pytest.mark.parametrize(
    ("write", "backend"),
    [
        (write_npy, "numpy"),
        (write_parquet, "numpy:gram"),
        (write_arrow, "numpy:gram"),
        (write_one_batch, "numpy:gram"),
    ],
)
def test_the_peak_stays_below_what_is_allowed(write, backend, tmp_path):
    """Check that w is right and that the process stays below the allowed memory.

    Fixed bug: pyarrow copied the columns of an Arrow batch, and a fit took 409 MB.
    """
    rows = some_rows()
    path = write(tmp_path, rows)
    assert path.stat().st_size >= 3 * ALLOWED
    memory = f"{ALLOWED // 10**6}MB"
    said, peak = fit(path, "--backend", backend, "--memory", memory, "--steps", 2)
    expected = make_problem(rows[:, :-1], rows[:, -1]).reference.iterate(2, RATE, np.zeros(3))
    assert relative_error(said["w"], expected) <= TOLERANCE["float32"]
    assert peak <= ALLOWED
