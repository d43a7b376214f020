"""Numba's rows are read in whole vectors, by a kernel for each length: none misses a value."""

from __future__ import annotations

import numpy as np
import pytest

from backends import Problem, open_backend
from backends.problem import DTYPES

pytest.importorskip("numba")


def wrong(rows: int, features: int, dtype: str) -> float:
    """Return the error of a gradient, relative to the length of its terms."""
    rng = np.random.default_rng([rows, features])
    x = rng.standard_normal((rows, features)).astype(dtype)
    y = rng.standard_normal(rows).astype(dtype)
    w = rng.standard_normal(features).astype(dtype).astype(np.float64)
    found = open_backend("numba:parallel").place(Problem(x, y), 0.1).gradient(w)
    columns = np.ascontiguousarray(x.T, dtype=np.float64)
    # NumPy sums along a row in pairs; a BLAS product would be less exact than what it is for.
    expected = np.sum(columns * (w @ columns - y), axis=1)
    terms = np.abs(columns) @ (np.abs(w) @ np.abs(columns) + np.abs(y))
    return float(np.max(np.abs(found - expected) / terms))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 5, 64, 257])
def test_any_length_of_a_row(rows: int, dtype: str) -> None:
    """Seen red with one vector fewer, and with the rows behind the last whole ones left out."""
    lengths = [*range(1, 70), 127, 128, 129, 500, 1000]
    off = {d: wrong(rows, d, dtype) for d in lengths}
    assert max(off.values()) < 2 * np.finfo(dtype).eps, off


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [9, 17, 33, 50, 127, 500])
def test_more_rows_than_the_caches_hold(features: int, dtype: str) -> None:
    """Each thread's are above `FAR_BYTES`, from where others than in the caches read them."""
    rows = (15 << 20) // (features * np.dtype(dtype).itemsize) + 3
    assert wrong(rows, features, dtype) < 2 * np.finfo(dtype).eps
