"""Test how disturbances of a measurement are counted and reported in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.host import noise
from bench.host.noise import Noise, noticed
from tests.support.cgroups import lay_out, v2

CALM = {"throttled": 0, "swapped": 0, "others": 0.05, "stolen": 0.0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [50.0]
    monkeypatch.setattr(noise.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return now


def files(root: Path, user: float = 0, idle: float = 0, steal: float = 0, **more: int) -> Path:
    """Write the kernel's files with these counts; `user`, `idle` and `steal` are in seconds."""
    tick = os.sysconf("SC_CLK_TCK")
    fields = [user, 0, 0, idle, 0, 0, 0, steal, user, 0]  # user time includes the guests' time
    stat = " ".join(str(int(seconds * tick)) for seconds in fields)
    counts = {"pages_in": 0, "pages_out": 0, "throttled": 0} | more
    swaps = f"pswpin {counts['pages_in']}\npswpout {counts['pages_out']}"
    group = v2("/a", {"a/cpu.stat": f"nr_throttled {counts['throttled']}"})
    return lay_out(root, {"proc/stat": f"cpu {stat}\ncpu0 1 2", "proc/vmstat": swaps} | group)


def test_what_happened_meanwhile_is_counted(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = iter([10.0, 10.0, 13.0, 10.0])

    class Usage:
        ru_stime = 0.0

        def __init__(self, who: int) -> None:
            self.ru_utime = next(own)

    monkeypatch.setattr(noise.resource, "getrusage", Usage)
    since = Noise(files(tmp_path, 100, 900, 5, pages_in=7, throttled=3))
    clock[0] += 10  # 40 seconds for four processors
    files(tmp_path, 111, 926, 8, pages_in=9, pages_out=1, throttled=4)
    assert since.seen() == {"throttled": 1, "swapped": 3, "others": 0.2, "stolen": 0.075}


def test_nothing_is_counted_where_nobody_counts(tmp_path: Path, clock: list[float]) -> None:
    since = Noise(tmp_path)
    clock[0] += 1
    assert since.seen() == {"throttled": 0, "swapped": 0, "others": 0.0, "stolen": 0.0}


def test_calm_is_not_mentioned() -> None:
    assert noticed([]) == noticed([{}, CALM]) == []


def test_what_disturbed_is_told_with_the_number_of_parts() -> None:
    busy = CALM | {"others": 0.4, "stolen": 0.03}
    stopped = CALM | {"throttled": 2, "swapped": 100, "others": 0.2}
    assert noticed([CALM, busy, stopped, {}]) == [
        "other programs took up to 40% of the CPUs in 2 of 3 measured parts",
        "other virtual machines took up to 3% of the CPUs in 1 of 3 measured parts",
        "the CPU quota stopped the process in 1 of 3 measured parts",
        "the machine swapped in 1 of 3 measured parts",
    ]
