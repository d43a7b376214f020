"""Test SIMD vectors and tuples of vectors."""

from __future__ import annotations

import numpy as np
import pytest

from backends.problem import DTYPES, Array

pytest.importorskip("numba")

from numba import njit

from backends.numba import arithmetic, vectors
from backends.numba.cache import Known

SIZES = {size: Known(f"test {size}", size=size) for size in (32, 256)}


@njit
def through_vectors(a: Array, b: Array, out: Array, known: Known) -> None:
    """Write ``a·b + out`` to `out`, one vector at a time; the last vector may be incomplete."""
    none = vectors.zero_vector(a, known.size)
    lanes = vectors.lanes_of(none)
    for j in range(0, len(a) // lanes * lanes, lanes):
        vectors.prefetch(a, j + 1_000_000, none, False)  # outside the array: must do no harm
        x, y = vectors.load(a, j, none, None), vectors.load(b, j, none, None)
        vectors.store(out, j, arithmetic.multiply_add(x, y, vectors.load(out, j, none, None)))


@njit
def masked(a: Array, out: Array, known: Known, keep: int) -> None:
    vectors.store(out, 0, vectors.load(a, 0, vectors.zero_vector(a, known.size), keep))


@njit
def features(a: Array, out: Array, known: Known, keep: int | None) -> None:
    """Write three features of a vector of rows, one feature after the other."""
    none = vectors.zero_vector(a, known.size)
    xs = vectors.load_features(a, 1, vectors.repeat(none, 3), keep)
    vectors.store(out, 0, xs[0])
    vectors.store(out, vectors.lanes_of(none), xs[1])
    vectors.store(out, 2 * vectors.lanes_of(none), xs[2])


@njit
def sums(a: Array, out: Array, known: Known, count: Known) -> None:
    """Write to `out` the sum of each of `count` adjacent vectors."""
    none = vectors.zero_vector(a, known.size)
    places = vectors.spaced(0, vectors.lanes_of(none), count.size, 1)
    vectors.store(out, 0, arithmetic.sum_lanes(vectors.load(a, places, none, None)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_vectors_do_what_numpy_does(dtype: str, offset: int, size: int) -> None:
    rng = np.random.default_rng(offset)
    a, b, out = rng.integers(-9, 9, (3, 64 + offset)).astype(dtype)[:, offset:]
    expected = a * b + out
    through_vectors(a, b, out, SIZES[size])
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_masked_load_leaves_the_other_lanes_zero(dtype: str, size: int) -> None:
    lanes = size // np.dtype(dtype).itemsize
    for keep in range(lanes + 1):
        a, out = np.arange(1, lanes + 1).astype(dtype), np.full(lanes + 1, 7, dtype)
        masked(a, out, SIZES[size], keep)
        np.testing.assert_array_equal(out, [*a[:keep], *[0] * (lanes - keep), 7])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keep", [None, 0, 1, 3])
def test_features_are_sorted_out_of_rows(dtype: str, keep: int | None) -> None:
    lanes = 32 // np.dtype(dtype).itemsize
    rows, out = np.arange(99 + 3).astype(dtype), np.zeros(3 * lanes, dtype)
    features(rows, out, SIZES[32], keep)
    expected = rows[3 : 3 + 3 * lanes].reshape(lanes, 3).copy()
    expected[lanes if keep is None else keep :] = 0
    np.testing.assert_array_equal(out.reshape(3, lanes), expected.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("size", SIZES)
def test_each_lane_is_the_sum_of_one_vector(dtype: str, count: int, size: int) -> None:
    lanes = size // np.dtype(dtype).itemsize
    a = np.random.default_rng(count).integers(-99, 99, count * lanes).astype(dtype)
    out = np.zeros(count + 1, dtype)
    sums(a, out, SIZES[size], Known(f"count {count}", size=count))
    np.testing.assert_array_equal(out, [*a.reshape(count, lanes).sum(axis=1), 0])
