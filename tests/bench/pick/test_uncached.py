"""Steps beyond the caches, of a backend that was only measured in them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.pick.curves import Sample
from bench.pick.model import CostModel
from bench.pick.uncached import MOST_READS, READS, Uncached
from tests.support.models import observed

MIB = 1 << 20

CURVE = tuple((n * MIB, 40e9 if n <= 32 else 10e9) for n in (1, 8, 32, 64, 256))
"""Reads of a cache at 40 GB/s, and of memory at 10."""


def in_cache(curve: tuple[tuple[int, float], ...]) -> CostModel:
    steps = tuple(Sample(n, 1e-6 + 2e-10 * n) for n in (100, 10_000, 1_000_000))
    seen = replace(observed(), step=steps)
    return CostModel("numpy", seen, 1, "float32", cache_bytes=32 * MIB, curve=curve)


def test_a_row_in_memory_takes_its_reads_longer() -> None:
    more = 8 * (1 / 10e9 - 1 / 40e9)
    n = 10**9
    assert in_cache(CURVE).step_s(n) == pytest.approx(n * (2e-10 + READS * more), rel=0.01)
    assert in_cache(()).step_s(n) == pytest.approx(n * 2e-10, rel=0.01)


def test_with_the_read_curve_the_interval_is_bounded() -> None:
    """Seen red: without it, an error of 50 % a decade made ±500 % three decades away."""
    known, unknown = (in_cache(curve).step(10**9).spread for curve in (CURVE, ()))
    assert known < 1.5
    assert unknown > 3 * known


def test_the_error_covers_a_single_read_and_most_reads() -> None:
    found = Uncached.of(1e-10, MIB, 8, CURVE)
    more = 8 * (1 / 10e9 - 1 / 40e9)
    most = 1e-10 + MOST_READS * more
    assert math.exp(2 * found.error) == pytest.approx(most / found.a_row)
    assert found.a_row * math.exp(-2 * found.error) <= 1e-10 + more


def test_where_reading_is_flat_nothing_is_added() -> None:
    flat = tuple((n, 10e9) for n, _ in CURVE)
    assert Uncached.of(1e-10, MIB, 8, flat) == Uncached(1e-10, 0.0)
