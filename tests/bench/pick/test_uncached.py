"""Test predictions beyond the caches for a backend that was measured only within them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from bench.pick.curves import Sample
from bench.pick.model import CostModel
from bench.pick.steps import Steps
from bench.pick.uncached import ONE_PASS, SEVERAL_PASSES, Uncached
from tests.support.models import observed

MIB = 1 << 20

CURVE = tuple((n * MIB, 40e9 if n <= 32 else 10e9) for n in (1, 8, 32, 64, 256))
"""(bytes, bytes/s) of reads: 40 GB/s from a cache of 32 MiB, and 10 GB/s from memory."""


def in_cache(curve: tuple[tuple[int, float], ...]) -> CostModel:
    steps = tuple(Sample(n, 1e-6 + 2e-10 * n) for n in (100, 10_000, 1_000_000))
    seen = replace(observed(), step=steps)
    return CostModel("numpy:blocked", seen, 1, "float32", cache_bytes=32 * MIB, curve=curve)


MORE = 8 * (1 / 10e9 - 1 / 40e9)
"""Seconds by which reading a row of 8 bytes takes longer from memory than from the cache."""


def test_a_row_in_memory_takes_its_reads_longer() -> None:
    n = 10**9
    assert in_cache(CURVE).step_s(n) == pytest.approx(
        n * (2e-10 + ONE_PASS.usual * MORE), rel=0.01
    )
    assert in_cache(()).step_s(n) == pytest.approx(n * 2e-10, rel=0.01)


def test_rows_that_the_cache_holds_stay_as_they_are() -> None:
    """Fixed bug: for 55 MB in a cache of 96 MB, the predicted time was three times too long."""
    held = 32 * MIB // 8
    known, unknown = in_cache(CURVE), in_cache(())
    assert known.step_s(held) == unknown.step_s(held)
    extra = known.step_s(2 * held) - unknown.step_s(2 * held)
    assert extra == pytest.approx(held * ONE_PASS.usual * MORE)


def test_with_the_read_curve_the_interval_is_bounded() -> None:
    """Check that the read curve makes intervals far beyond the measured sizes much narrower."""
    known, unknown = (in_cache(curve).step(10**9).spread for curve in (CURVE, ()))
    assert known < 1.5
    assert unknown > 3 * known


def test_the_error_covers_a_single_read_and_most_reads() -> None:
    found = Uncached.of(1e-10, 1000, 8, 2000.0, CURVE)
    assert found is not None
    a_row = 1e-10 + found.more
    assert math.exp(2 * found.error) == pytest.approx((1e-10 + ONE_PASS.most * MORE) / a_row)
    assert a_row * math.exp(-2 * found.error) <= 1e-10 + MORE
    assert found.error_at(2000) == 0.0
    assert found.error_at(4000) == pytest.approx(found.error / 2)


def test_where_reading_is_flat_nothing_is_added() -> None:
    flat = tuple((n, 10e9) for n, _ in CURVE)
    assert Uncached.of(1e-10, 1000, 8, 2000.0, flat) == Uncached(2000.0, 0.0, 0.0)
    assert Uncached.of(1e-10, 1000, 8, 2000.0, ()) is None


def test_plain_array_code_takes_longer_beyond_the_caches() -> None:
    """Fixed bug: plain NumPy was predicted to take 9.6 s instead of 24 s.

    Its temporary arrays do not fit into the caches and cause page faults.
    """
    samples = [Sample(n, 1e-5 + 9e-10 * n) for n in (100_000, 1_000_000)]
    memory_rows = 16e6 / 8 * 4
    of = {
        name: Steps.of(name, samples, 8, 1, memory_rows, CURVE)
        for name in ("numpy", "numpy:blocked", "jax")
    }
    assert of["numpy"].at(10**8) > 1.5 * of["numpy:blocked"].at(10**8)
    assert of["jax"].at(10**8) == of["numpy:blocked"].at(10**8)


def test_separate_products_read_the_rows_several_times() -> None:
    """Fixed bug: jax was predicted 3.4 times too fast for 10⁵ rows and 200 features."""
    samples = [Sample(n, 1e-5 + 5e-9 * n) for n in (1_000, 5_000)]
    for features, reads in ((1, ONE_PASS), (200, SEVERAL_PASSES)):
        steps = Steps.of("jax", samples, 804, features, 64 * MIB / 804, CURVE)
        expected = 5e-9 + reads.usual * 804 * (1 / 10e9 - 1 / 40e9)
        assert steps.at(10**9) == pytest.approx(10**9 * expected, rel=0.03)
