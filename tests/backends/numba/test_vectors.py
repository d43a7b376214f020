"""The kernels of numba:parallel that are written in vectors, and the vectors themselves."""

from __future__ import annotations

import numpy as np
import pytest

from backends.problem import DTYPES, Array, Problem

pytest.importorskip("numba")

from numba import get_num_threads, njit

from backends.numba import (
    ABREAST,
    FAR_BYTES,
    LINE,
    LINE_ASKING,
    PIPELINED,
    STREAMS,
    Kind,
    Parallel,
    descend,
    vectors,
)


@njit
def through_vectors(a: Array, b: Array, out: Array) -> float:
    """Write ``a·b + out`` to `out`, a vector a time, and return the last vector's sum."""
    lanes, last = vectors.VECTOR_BYTES // a.itemsize, a.dtype.type(0)
    for k in range(len(a) // lanes):
        j = k * lanes
        vectors.prefetch(a, j + 1_000_000)  # far outside: nothing may happen
        sums = vectors.multiply_add(
            vectors.load(a, j), vectors.load(b, j), vectors.load(out, j)
        )
        vectors.store(out, j, sums)
        last = vectors.sum_lanes(sums)
    return last


@njit
def spread_out(value: float, out: Array) -> None:
    vectors.store(out, 0, vectors.spread(value))


@njit
def move_wide(a: Array, value: float, out: Array) -> None:
    added = vectors.spread_wide(value)
    vectors.store(out, 3, vectors.multiply_add(vectors.load_wide(a, 1), added, added))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_vectors_do_what_numpy_does(dtype: str, offset: int) -> None:
    rng = np.random.default_rng(offset)
    a, b, out = rng.integers(-9, 9, (3, 64 + offset)).astype(dtype)[:, offset:]
    lanes = vectors.VECTOR_BYTES // a.itemsize
    expected = a * b + out
    assert through_vectors(a, b, out) == expected[-lanes:].sum()
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_value_is_spread_to_every_lane_and_no_further(dtype: str) -> None:
    out = np.zeros(32, dtype)
    spread_out(np.dtype(dtype).type(2.5), out)
    lanes = vectors.VECTOR_BYTES // out.itemsize
    np.testing.assert_array_equal(out, [2.5] * lanes + [0.0] * (32 - lanes))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wide_vector_is_two(dtype: str) -> None:
    a, out = np.arange(40).astype(dtype), np.zeros(40, dtype)
    move_wide(a, np.dtype(dtype).type(2), out)
    lanes = 2 * vectors.VECTOR_BYTES // out.itemsize
    expected = np.zeros(40)
    expected[3 : 3 + lanes] = 2 * a[1 : 1 + lanes] + 2
    np.testing.assert_array_equal(out, expected)


def error(got: Array, x: Array, y: Array, w: Array) -> float:
    """Return a gradient's distance from the float64 one, relative to its terms' length."""
    columns = np.ascontiguousarray(x.T, dtype=np.float64)
    # NumPy sums along a row in pairs; BLAS would be less exact than what it is for.
    expected = np.sum(columns * (w @ columns - y), axis=1)
    terms = np.abs(columns) @ (np.abs(w) @ np.abs(columns) + np.abs(y))
    return float(np.max(np.abs(got - expected) / terms))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 64, 257])
def test_rows_of_every_length_that_come_from_the_caches(dtype: str, rows: int) -> None:
    """Seen red with one vector fewer, and with the rows behind the last whole ones left out."""
    off = {}
    for features in (*range(1, 70), 127, 128, 129, 500, 1000):
        rng = np.random.default_rng([rows, features])
        x = rng.standard_normal((rows, features)).astype(dtype)
        y = rng.standard_normal(rows).astype(dtype)
        w = rng.standard_normal(features).astype(dtype).astype(np.float64)
        for single in (False, True):  # laid out anew, or as they lie
            problem = Problem(x, y, single_pass=single)
            got = Parallel(problem, 0.1, "cpu").gradient(w)
            off[features, single] = error(got, x, y, w)
    assert max(off.values()) < 2 * np.finfo(dtype).eps, off


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "features",
    [9, 15, 16, 17, 31, 32, 33, 50, 63, 64, 65, 127, 129, 300, 500, 1001, 1301, 2000],
)
@pytest.mark.parametrize("more", [1, 3, 7])
def test_rows_of_every_length_that_come_from_memory(
    dtype: str, features: int, more: int
) -> None:
    """More than `FAR_BYTES` a thread; the last rows, which no group takes, stand out."""
    a_row = features * np.dtype(dtype).itemsize
    rows = int(1.1 * FAR_BYTES * get_num_threads() / a_row) // 8 * 8 + more
    rng = np.random.default_rng(features)
    x = rng.standard_normal((rows + 1, features), dtype=dtype)
    x[rows] = np.nan  # whoever reads behind the last row will know
    x = x[:rows]
    y = rng.standard_normal(rows, dtype=dtype)
    y[-more:] = 1e4
    w = rng.standard_normal(features)
    problem = Problem(x, y)
    placed = Parallel(problem, 1e-3, "cpu")
    got = placed.gradient(w)
    if len(placed.kind) >= STREAMS:  # whichever is faster here
        each = {
            kind: descend(x, y, w.copy(), 0.0, 1, get_num_threads(), (0,) * kind)
            for kind in (STREAMS, PIPELINED, ABREAST)
        }
        np.testing.assert_array_equal(got, each[len(placed.kind)])
        for gradient in each.values():
            assert error(gradient, x, y, w) < 2 * np.finfo(dtype).eps
    exact = x.astype(np.float64)
    expected = exact.T @ (exact @ w - y)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * abs(expected).max())
    assert error(got, x, y, w) < 2 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 15, 16, 31, 32, 33, 8191, 8192, 8193, 20_001])
@pytest.mark.parametrize("kind", [LINE, LINE_ASKING])
def test_one_feature_asked_for_ahead_or_not(dtype: str, rows: int, kind: Kind) -> None:
    """Seen red with one of its four sums left out."""
    rng = np.random.default_rng(rows)
    x, y = rng.standard_normal((2, rows + 1), dtype=dtype)
    x[rows] = y[rows] = np.nan  # whoever reads behind the last row will know
    x, y = x[:rows], y[:rows]
    w = rng.standard_normal(1).astype(dtype).astype(np.float64)
    got = descend(x, y, w.copy(), 0.0, 1, 1, kind)
    assert error(got, x[:, None], y, w) < 2 * np.finfo(dtype).eps
