"""Test data that are generated once for all processes: equal, within memory, and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backends import generate
from bench.measure import shared
from bench.measure.opened import _made
from bench.measure.shared import Shared, load, place
from bench.results.case import Case

LARGE = Case("numpy", 1_100_000, 1, "float32")
WIDE = Case("numpy:blocked", 300_000, 7, "float64")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shared:
    made = Shared(tmp_path)
    monkeypatch.setenv(shared.VARIABLE, str(made.folder))
    return made


@pytest.mark.parametrize("case", [LARGE, WIDE])
def test_shared_data_are_those_that_a_child_would_make(folder: Shared, case: Case) -> None:
    folder.provide([case])
    found, made = load(case.data), generate(case.rows, case.features, case.dtype)
    assert found is not None
    np.testing.assert_array_equal(found.x, made.x)
    np.testing.assert_array_equal(found.y, made.y)
    np.testing.assert_array_equal(found.reference.gram, made.reference.gram)
    np.testing.assert_array_equal(found.reference.moment, made.reference.moment)
    w = made.reference.solution
    assert found.reference.loss(w) == made.reference.loss(w)
    assert found.x.base is not None
    assert found.source.startswith("synthetic, ")
    folder.close()


def test_a_child_owns_its_pages(folder: Shared) -> None:
    """Check that each load of the data has its own memory, not a mapped file."""
    folder.provide([LARGE])
    one, other = load(LARGE.data), load(LARGE.data)
    assert one is not None
    assert other is not None
    assert not np.shares_memory(one.x, other.x)
    bases = [one.x]
    while isinstance(bases[-1], np.ndarray):
        bases.append(bases[-1].base)
    assert not any(isinstance(base, np.memmap) for base in bases)


def test_a_size_is_made_once(folder: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    write = shared.write
    monkeypatch.setattr(shared, "write", lambda *a: (made.append(a[1]), write(*a)))
    for _ in range(2):
        folder.provide([LARGE, Case("numba", *LARGE.data), LARGE.read])
    assert made == [LARGE.data]


def test_small_data_and_a_clusters_are_not_shared(folder: Shared) -> None:
    folder.provide([Case("numpy", 1000, 1, "float32"), Case("dask:numpy", *LARGE.data)])
    assert folder.folder is not None
    assert list(folder.folder.iterdir()) == []
    assert load(LARGE.data) is None


def test_the_memory_is_not_exceeded(folder: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that older data are removed for newer data, and too large data are not stored."""
    assert folder.folder is not None
    need = LARGE.bytes_per_step
    monkeypatch.setattr(shared, "available_bytes", lambda: 4 * need)
    other = Case("numpy", LARGE.rows - 1, 1, "float32")
    folder.provide([LARGE])
    monkeypatch.setattr(shared, "available_bytes", lambda: 3 * need)  # memory that is left
    folder.provide([other])
    assert [path.name for path in folder.folder.iterdir()] == ["1099999x1-float32"]
    folder.provide([Case("numpy", 2 * LARGE.rows, 1, "float32")])
    assert place(folder.folder, other.data).exists()
    assert len([*folder.folder.iterdir()]) == 1


def test_a_full_file_system_is_no_error(
    folder: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    folder.provide([LARGE])
    assert folder.folder is not None
    assert list(folder.folder.iterdir()) == []


def test_without_shared_memory_children_make_their_data(tmp_path: Path) -> None:
    nowhere = Shared(tmp_path / "none")
    nowhere.provide([LARGE])
    assert nowhere.environment == {}


def test_a_case_is_opened_from_the_shared_data(folder: Shared) -> None:
    folder.provide([LARGE])
    assert folder.folder is not None
    marked = np.load(place(folder.folder, LARGE.data) / "x.npy", mmap_mode="r+")
    marked[5] = 42.0
    del marked
    _made.cache_clear()
    try:
        assert _made(*LARGE.data).x[5] == 42.0
    finally:
        _made.cache_clear()


HOLD = """
import sys, time
from pathlib import Path
from bench.measure.shared import Shared

made = Shared(Path(sys.argv[1]))
print(made.folder, flush=True)
if sys.argv[2] == "hang":
    time.sleep(600)
"""


def test_the_folder_goes_at_exit_and_after_a_kill_with_the_next(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    subprocess.run([*command, "end"], check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []
    killed = subprocess.Popen([*command, "hang"], stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    left = Path(killed.stdout.readline().strip())
    mine = Shared(tmp_path)
    assert left.is_dir()  # the process that owns the folder is running
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    assert left.is_dir()
    another = Shared(tmp_path)
    assert not left.exists()
    assert mine.folder is not None
    assert mine.folder.is_dir()
    for made in (mine, another):
        made.close()
    assert list(tmp_path.iterdir()) == []
