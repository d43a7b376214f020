"""Test the read curve: its largest size, and the size from which it is flat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.read_curve import (
    TASK,
    curve_of,
    flat_from,
    measure_read_curve,
    read_curve,
    sizes,
)
from bench.results.record import Outcome

MIB = 1 << 20


def curve(cache: int, reported: int, fast: float = 4.0) -> list[tuple[int, float]]:
    """Return (bytes, bytes/s) of simulated reads.

    Memory gives 1 byte/s, and a cache of `cache` bytes is `fast` times faster.
    """
    found = []
    for size in sizes(reported, 1 << 36):
        cached = min(1.0, cache / size)
        found.append((size, 1 / (cached / fast + 1 - cached)))
    return found


@given(st.integers(1, 1000))
def test_a_cache_is_found_to_a_factor_of_two(mebibytes: int) -> None:
    """Reads have the memory's speed from about five times the cache's size on."""
    flat = flat_from(curve(mebibytes * MIB, mebibytes * MIB))
    assert 1.5 * mebibytes * MIB <= flat <= 10 * mebibytes * MIB


def test_a_cache_that_is_only_reported_is_seen_through() -> None:
    """If the reported cache cannot be used, reads of all sizes have the memory's speed."""
    assert flat_from(curve(0, 480 * MIB)) == sizes(480 * MIB, 1 << 36)[0]


def test_noise_makes_no_cache() -> None:
    wild = [(n, 0.95 if i % 2 else 1.05) for i, n in enumerate(sizes(32 * MIB, 1 << 36))]
    assert flat_from(wild) == wild[0][0]


def test_sizes_reach_beyond_the_hint_and_leave_memory_for_others() -> None:
    assert sizes(480 * MIB, 1 << 36)[-1] >= 2 * 480 * MIB
    assert sizes(32 * MIB, 1 << 36)[-1] == 256 * MIB
    assert sizes(480 * MIB, 400 * MIB)[-1] <= 100 * MIB
    assert len(sizes(32 * MIB, 1000)) == 1


def test_reading_here_gives_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_curve(2, [1 << 19, 1 << 20])
    assert [size for size, _ in found] == [1 << 19, 1 << 20]
    assert all(rate > 1e8 for _, rate in found)
    monkeypatch.setattr("bench.measure.read_curve.read_curve", lambda *_: found)
    machine: dict[str, object] = {"caches": {"L3": MIB}}
    tasks = measure_read_curve(2, machine)
    assert list(tasks) == [TASK, f"{TASK}, one core"]
    assert curve_of(tasks[TASK]) == [(n, pytest.approx(rate)) for n, rate in found]
    assert curve_of(Outcome()) == []
