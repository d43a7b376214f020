"""Test reading the results file of a child process, of this or of another code version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backends import names
from backends.names import Library
from bench.measure.rounds import StepTimer
from bench.measure.worker import _measurements, cache_folders, put

CASE = "numpy/100x1/float32"


def written(folder: Path, seconds: list[float], **info: Any) -> Path:
    """Write a results file in pytest-benchmark's format."""
    benchmark = {
        "extra_info": {"row": CASE, "kind": "step", "relative_error": 0.0, **info},
        "stats": {"data": seconds},
    }
    path = folder / "benchmarks.json"
    path.write_text(
        json.dumps({"machine_info": {"thread_pools": []}, "benchmarks": [benchmark]})
    )
    return path


@pytest.mark.parametrize(
    ("marker", "seconds"),
    [({}, 8.0), ({"seconds_of": "round"}, 8.0), ({"seconds_of": "step"}, 0.5)],
    ids=["another checkout", "round", "step"],
)
def test_a_measurement_holds_rounds_whatever_a_file_says_they_are(
    tmp_path: Path, marker: dict[str, str], seconds: float
) -> None:
    (found,) = _measurements(written(tmp_path, [seconds] * 3, steps=16, **marker)).measurements
    assert found.seconds == (8.0, 8.0, 8.0)
    assert found.seconds_per_step == [0.5] * 3
    assert found.info == {"relative_error": 0.0}


def test_the_timer_counts_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 108.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    timer = StepTimer()
    timer.steps = 16
    began = timer()
    assert timer() - began == 0.5


def test_a_plug_ins_cache_of_compiled_code_is_in_the_childs_folder(tmp_path: Path) -> None:
    """Each library that caches compiled code gets a new folder, including installed plug-ins.

    Otherwise a first call could find code that is compiled already.
    """
    names.register(Library("mine", "nowhere", caches=("MINE_CACHE_DIR",)))
    try:
        found = cache_folders(tmp_path)
    finally:
        names.unregister("mine")
    assert found["MINE_CACHE_DIR"] == str(tmp_path / "MINE_CACHE_DIR")
    assert {"NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"} < found.keys()


def test_loaded_code_stays_as_it_is_when_a_file_takes_its_place(tmp_path: Path) -> None:
    """The new file takes the old file's name, and the old content stays for its readers.

    Reason: other processes may still use the old compiled code.
    """
    new, old = tmp_path / "new.so", tmp_path / "old.so"
    new.write_bytes(b"new")
    old.write_bytes(b"old")
    with old.open("rb") as loaded:
        put(str(new), str(old))
        assert loaded.read() == b"old"
    assert old.read_bytes() == b"new"
    assert sorted(tmp_path.iterdir()) == [new, old]
