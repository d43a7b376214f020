"""XᵀX and Xᵀy of every library: exact sums, accurate losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends import Problem, generate, open_backend
from backends.reference import relative_error

RATE = 0.001


def whole_numbers(rows: int, features: int) -> Problem:
    """Return data of which every product and sum is exact, in float32, too."""
    rng = np.random.default_rng(rows)
    x = rng.integers(-3, 4, (rows, features)).astype(np.float32)
    return Problem(
        x[:, 0] if features == 1 else x, rng.integers(-9, 10, rows).astype("float32")
    )


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
@pytest.mark.parametrize("features", [1, 3, 20])
@pytest.mark.parametrize("rows", [70, 1000, 100_003, (1 << 18) + 1, (1 << 20) + 257])
def test_a_gram_takes_every_row_once(library: str, features: int, rows: int) -> None:
    """Several threads, and rows that neither pieces nor blocks divide."""
    if library != "numpy":
        pytest.importorskip(library)
    problem = whole_numbers(rows, features if rows < 1 << 20 else 1)
    x, y = problem.x.reshape(rows, -1).astype(np.float64), problem.y.astype(np.float64)
    descent: Any = open_backend(f"{library}:gram").place(problem, RATE)
    np.testing.assert_array_equal(np.asarray(descent.xtx), x.T @ x)
    np.testing.assert_array_equal(np.asarray(descent.xty), x.T @ y)
    assert float(descent.yty) == y @ y


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
def test_a_gram_errs_less_than_a_loop_of_a_million_rows(library: str) -> None:
    """Loops are off by 1e-8 here."""
    if library != "numpy":
        pytest.importorskip(library)
    problem = generate(1_000_000)
    w = open_backend(f"{library}:gram").place(problem, RATE).run(np.zeros(1), 1000)
    assert relative_error(w, problem.reference.iterate(1000, RATE, np.zeros(1))) <= 5e-9
