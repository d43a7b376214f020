"""Compare every loop of numba:parallel with float64 sums.

The tests vary shapes, dtypes, numbers of threads and the last rows.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import losses
from backends.problem import DTYPES, Array, Problem

pytest.importorskip("numba")

from numba import get_num_threads

from backends.numba import loops
from backends.numba.loops import COLUMNS, FEW, LINE, LINE_ASKING, SHORT, Loop
from backends.numba.parallel import Parallel, descend, in_columns
from backends.numba.pointwise import Pointwise, slope_of

SQUARED_ERROR = Pointwise(slope_of(losses.SQUARED_ERROR))

LONG = loops.STREAMS, loops.PAIRS, loops.ABREAST


def error(got: Array, x: Array, y: Array, w: Array) -> float:
    """Return the largest error of a component, relative to the sum of its terms' sizes."""
    columns = np.ascontiguousarray(x.T, dtype=np.float64)
    # NumPy sums along a row in pairs; BLAS would be less exact than the loops.
    expected = np.sum(columns * (w @ columns - y), axis=1)
    terms = np.abs(columns) @ (np.abs(w) @ np.abs(columns) + np.abs(y))
    return float(np.max(np.abs(got - expected) / terms))


def guarded(rows: int, features: int, dtype: str, seed: int = 0) -> tuple[Array, Array, Array]:
    """Return x, y and w. The memory after x and y contains NaN.

    A loop that reads too far therefore returns NaN.
    """
    rng = np.random.default_rng([rows, features, seed])
    x = rng.standard_normal((rows + 1, features), dtype=dtype)
    y = rng.standard_normal(rows + 1, dtype=dtype)
    x[rows] = y[rows] = np.nan
    w = rng.standard_normal(features).astype(dtype).astype(np.float64)
    return x[:rows], y[:rows], w


def loops_for(features: int, dtype: str) -> list[Loop]:
    """Return every loop that may run on rows with this number of features."""
    size = features * np.dtype(dtype).itemsize
    if features == 1:
        return [LINE, LINE_ASKING]
    if features in FEW:
        return [FEW[features]]
    short = [loop for most, loop in SHORT.items() if size <= most]
    return [*short, *LONG, *([COLUMNS[features]] if features in COLUMNS else [])]


@settings(max_examples=80, deadline=None)
@given(
    rows=st.one_of(st.integers(1, 300), st.integers(8_000, 8_400), st.integers(16_000, 20_000)),
    features=st.sampled_from([1, 2, 3, 4, 5, 8, 9, 16, 17, 31, 33]),
    dtype=st.sampled_from(DTYPES),
    threads=st.integers(1, 3),
    data=st.data(),
)
def test_every_loop_sums_all_rows_and_no_others(
    rows: int, features: int, dtype: str, threads: int, data: st.DataObject
) -> None:
    loop = data.draw(st.sampled_from(loops_for(features, dtype)))
    x, y, w = guarded(rows, features, dtype)
    laid_out = x
    if features == 1:
        laid_out = x[:, 0]
    elif loop is COLUMNS.get(features):
        laid_out = in_columns(x)
    threads = min(threads, get_num_threads())
    got = descend(laid_out, y, w.copy(), 0.0, 1, threads, loop, SQUARED_ERROR)
    assert error(got, x, y, w) < 16 * np.finfo(dtype).eps  # without a row: at least 5e-5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 64, 257])
def test_rows_of_every_length_that_come_from_the_caches(dtype: str, rows: int) -> None:
    off = {}
    for features in (*range(1, 21), 31, 32, 33, 63, 64, 65, 127, 128, 129, 500, 1000):
        x, y, w = guarded(rows, features, dtype)
        for single in (False, True):  # copied into another layout, or not
            got = Parallel(Problem(x, y, single_pass=single), 0.1, "cpu").gradient(w)
            off[features, single] = error(got, x, y, w)
    assert max(off.values()) < 2 * np.finfo(dtype).eps, off


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [9, 16, 17, 32, 50, 65, 127, 300, 500, 1001, 2000])
@pytest.mark.parametrize("more", [1, 3, 7])
def test_rows_of_every_length_that_come_from_memory(
    dtype: str, features: int, more: int
) -> None:
    """Check rows of many lengths, in data that do not fit into caches.

    The last rows have large targets, so that the test notices if these rows are not used.
    """
    a_row = features * np.dtype(dtype).itemsize
    rows = int(1.1 * loops.FAR_BYTES * get_num_threads() / a_row) // 8 * 8 + more
    x, y, w = guarded(rows, features, dtype)
    y[-more:] = 1e4
    placed = Parallel(Problem(x, y), 1e-3, "cpu")
    got = placed.gradient(w)
    each = {placed.loop: got}
    if placed.loop in LONG:  # the faster one on this machine
        take = partial(descend, x, y, rate=0.0, steps=1, threads=get_num_threads())
        each = {loop: take(w.copy(), loop=loop, slope=SQUARED_ERROR) for loop in LONG}
        np.testing.assert_array_equal(got, each[placed.loop])
    exact = x.astype(np.float64)
    expected = exact.T @ (exact @ w - y)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    for gradient in each.values():
        assert error(gradient, x, y, w) < 2 * np.finfo(dtype).eps
        scale = tolerance * abs(expected).max()
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=scale)


def test_two_loops_compete_for_long_rows_from_memory_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check that the second loop is chosen only if it is clearly faster.

    The choice is made once, by a trial.
    """
    x, y = np.ones((40_000, 1000), np.float32), np.ones(40_000, np.float32)
    assert loops.candidates(x, y, 2) == (loops.STREAMS, loops.PAIRS)
    assert loops.candidates(x[:1000], y[:1000], 2) == (loops.STREAMS,)
    clock, slow, calls = [0.0], {loops.STREAMS: 1.0, loops.PAIRS: 0.9}, []

    def pretend(x: Array, y: Array, steps: int, loop: Loop) -> None:
        calls.append(loop)
        clock[0] += slow[loop]  # a round's time is the sum over threads

    monkeypatch.setattr(loops.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(loops, "_fastest", {})
    assert loops.fastest(x, y, 2, pretend) is loops.PAIRS
    made = len(calls)
    assert loops.fastest(x, y, 2, pretend) is loops.PAIRS
    assert len(calls) == made
    slow[loops.PAIRS] = 0.97  # nearly equal: the usual loop is chosen
    assert loops.fastest(x, y, 1, pretend) is loops.STREAMS
    noise = iter([1.0, *[0.4, 0.4, 0.4, 0.9] * 2])  # faster, but only in six of eight rounds

    def noisy(x: Array, y: Array, steps: int, loop: Loop) -> None:
        clock[0] += 0.5 if loop is loops.STREAMS else next(noise)

    monkeypatch.setattr(loops, "_fastest", {})
    assert loops.fastest(x, y, 1, noisy) is loops.STREAMS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("threads", [1, 2])
def test_columns_of_several_blocks_meet_their_own_targets(dtype: str, threads: int) -> None:
    """Check that each block of rows is combined with its own targets."""
    x, y, w = guarded(20_001, 8, dtype)
    threads = min(threads, get_num_threads())
    got = descend(in_columns(x), y, w.copy(), 0.0, 1, threads, COLUMNS[8], SQUARED_ERROR)
    assert error(got, x, y, w) < 16 * np.finfo(dtype).eps


def relative(xp: object, p: Any, y: Any) -> Any:
    """Return a slope that is NaN for a target of 0, as in the unused lanes of a vector."""
    return (p - y) / y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 3, 5, 9, 17, 40])
def test_lanes_without_a_row_count_for_nothing_whatever_the_slope(
    dtype: str, features: int
) -> None:
    x, y, w = guarded(101, features, dtype)
    y[y == 0] = 1
    laid_out = x[:, 0] if features == 1 else in_columns(x) if features == 5 else x
    loop = loops.candidates(laid_out, y, 1)[0]
    got = descend(laid_out, y, w.copy(), 0.0, 1, 1, loop, Pointwise(relative))
    expected = x.T.astype(np.float64) @ ((x.astype(np.float64) @ w - y) / y)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    scale = tolerance * np.abs(x.T / y).sum(axis=1).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=scale)
