"""Compare vectorised exp, log, log1p and tanh with NumPy's functions in a higher precision."""

from __future__ import annotations

from inspect import isfunction
from typing import Any

import numpy as np
import pytest

from backends.problem import DTYPES, Array

pytest.importorskip("numba")

from numba import njit

from backends.numba import elementary, operators, vectors
from backends.numba.cache import Known

LINE = Known("elementary", size=64)

ULPS = 3
"""Largest allowed error in units in the last place; rounding alone causes up to 0.5."""

SERIES = [
    name
    for name, member in vars(elementary).items()
    if isfunction(member) and member.__module__ == elementary.__name__ and name[0] != "_"
]
"""Public functions of `elementary`, which have the names of NumPy's functions."""

INSIDE = {"exp": (-746, 710), "log": (0, 4), "log1p": (-1, 3), "tanh": (-20, 20)}
"""Function → range of arguments that the test covers densely.

For exp, these are all arguments with a finite, nonzero result. For the other functions, the
range includes the arguments where digits could be lost.
"""


def on_vectors(name: str) -> Any:
    """Return a compiled function that applies NumPy's function `name` to an array by vectors.

    The results are written to a second array.
    """
    assert operators
    function = getattr(np, name)

    @njit
    def run(a: Array, out: Array, known: Known) -> None:
        none = vectors.zero_vector(a, known.size)
        for j in range(0, len(a), vectors.lanes_of(none)):
            vectors.store(out, j, function(vectors.load(a, j, none, None)))

    return run


def arguments(dtype: str, lowest: float, highest: float) -> Array:
    """Return test arguments: random bits, special values and dense ranges.

    One dense range is `lowest` to `highest`; the others lie near 0 and near 1.
    """
    rng, bits = np.random.default_rng(0), np.dtype(dtype).itemsize * 8
    every = rng.integers(0, 1 << bits, 1 << 19, dtype=f"uint{bits}").view(dtype)
    limits, one = np.finfo(dtype), np.ones(1, dtype)
    edges = [0, -0.0, np.inf, np.nan, limits.tiny, limits.smallest_subnormal, limits.max, 1]
    about = np.log(limits.max), np.log(limits.tiny), np.log(limits.smallest_subnormal)
    near = [np.nextafter(one * a, one * b)[0] for a in (*about, 1) for b in (-2000, 2000)]
    dense = rng.uniform(lowest, highest, 1 << 19), rng.uniform(-0.5, 0.5, 1 << 18)
    values = np.concatenate([*dense, edges, near, about, np.negative(edges)]).astype(dtype)
    values = np.concatenate([every, values, 1 + dense[1].astype(dtype)])
    return np.resize(values, -(-len(values) // 64) * 64)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # arguments include NaN and infinity
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SERIES)
def test_errors_are_few_units_in_the_last_place(name: str, dtype: str) -> None:
    a = arguments(dtype, *INSIDE[name])
    out = np.full_like(a, 7)
    on_vectors(name)(a, out, LINE)
    wide = np.float64 if dtype == "float32" else np.longdouble
    if dtype == "float64" and np.finfo(wide).eps > 1e-18:
        pytest.skip("here, long double is no more precise than float64")
    exact = getattr(np, name)(a.astype(wide))
    rounded = exact.astype(dtype)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(out[~finite], rounded[~finite])  # here NaN equals NaN
    ulps = np.abs(out[finite] - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(
        wide
    )
    worst = int(np.argmax(ulps))
    assert ulps[worst] <= ULPS, (a[finite][worst], out[finite][worst])
