"""Test every problem of a machine that ``doctor`` finds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.doctor import machine
from bench.doctor.finding import Finding
from bench.doctor.machine import disk, memory, processor
from bench.doctor.software import overrides
from tests.support.cgroups import lay_out, v2

GOVERNOR = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
QUIET_STAT = {"proc/stat": "cpu 100 0 100 9800 0 0 0 0 0 0"}


def of(findings: list[Finding], topic: str) -> list[tuple[str, bool]]:
    """Return (level, whether there is advice) of each finding about this topic."""
    return [(f.level, bool(f.mend)) for f in findings if f.topic == topic]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "affinity", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("idle")
def test_a_good_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {GOVERNOR.format(0): "performance", PAGES: "always [madvise] never"} | QUIET_STAT,
    )
    found = [*processor(root), *memory(root), disk(tmp_path), *overrides({"HOME": "/root"})]
    assert [(f.level, f.mend) for f in found] == [("good", "")] * len(found)
    topics = {"processor", "frequency", "load", "memory", "swap", "huge pages", "results"}
    assert {f.topic for f in found} == topics


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("files", "topic", "level"),
    [
        (
            {GOVERNOR.format(0): "performance", GOVERNOR.format(1): "powersave"},
            "frequency",
            "bad",
        ),
        (v2("/", {"cpu.max": "50000 100000"}), "CPU quota", "note"),
        (v2("/a", {"a/cpu.stat": "nr_periods 9\nnr_throttled 7"}), "CPU quota", "note"),
        ({"proc/stat": "cpu 100 0 100 9600 0 0 0 200 0 0"}, "virtual machine", "note"),
    ],
)
def test_what_slows_the_processor_is_found(
    tmp_path: Path, files: dict[str, str], topic: str, level: str
) -> None:
    found = [*processor(lay_out(tmp_path, QUIET_STAT | files))]
    assert (level, True) in of(found, topic)


def test_a_busy_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert of([*processor(tmp_path)], "load") == [("bad", True)]


@pytest.mark.parametrize(
    ("files", "topic", "level"),
    [
        ({"proc/meminfo": "MemAvailable: 1024 kB"}, "memory", "bad"),
        ({"proc/meminfo": "SwapTotal: 2048 kB\nSwapFree: 1024 kB"}, "swap", "note"),
        ({PAGES: "always madvise [never]"}, "huge pages", "note"),
    ],
)
def test_what_slows_memory_is_found(
    tmp_path: Path, files: dict[str, str], topic: str, level: str
) -> None:
    assert of([*memory(lay_out(tmp_path, files))], topic) == [(level, True)]


def test_little_room_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk(tmp_path / "not" / "yet").level == "good"
    monkeypatch.setattr(machine, "LITTLE_DISK", 10**18)
    assert of([disk(tmp_path)], "results") == [("bad", True)]
