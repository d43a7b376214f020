"""Checks of the contract that every backend must keep.

The contract demands equal w from all backends, for data of any shape and any first w.
``tests/backends/test_contract.py`` runs these checks for every backend of the catalogue.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from backends import Descent, Problem, generate, open_backend
from backends.problem import TOLERANCE
from backends.reference import relative_error

RATE = 0.001
STEPS = (0, 1, 10, 137)


@lru_cache
def problem(rows: int, features: int, dtype: str) -> Problem:
    return generate(rows, features, dtype)


def place(backend: str, on: Problem, rate: float = RATE) -> Descent:
    return open_backend(backend).place(on, rate)


def start(features: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-3, 3, features)


def check_iterates(backend: str, dtype: str, features: int) -> None:
    """Compare w after 0, 1, 10 and 137 steps with the reference, for two first values of w.

    The number of rows, 1009, is prime, so no number of blocks, lanes or threads divides it.
    """
    data = problem(1009, features, dtype)
    descent = place(backend, data)
    for w0 in (np.zeros(features), start(features)):
        for steps in STEPS:
            w = descent.run(w0, steps)
            assert w.dtype == np.float64
            assert w.shape == (features,)
            expected = data.reference.iterate(steps, RATE, w0)
            assert relative_error(w, expected) <= TOLERANCE[dtype], steps


def check_rows(backend: str, rows: int) -> None:
    """Compare w after 20 steps with the reference for this number of rows."""
    for features in (1, 3) if rows > 10_000 else (1, 3, 40):
        data = problem(rows, features, "float32")
        w0 = start(features)
        w = place(backend, data).run(w0, 20)
        assert relative_error(w, data.reference.iterate(20, RATE, w0)) <= 1e-5


def check_runs_add_up(backend: str, features: int) -> None:
    """Check that 30 steps, 30 steps again, and 13 plus 17 steps give the same bits."""
    descent = place(backend, problem(1009, features, "float32"))
    w0 = start(features)
    whole = descent.run(w0, 30)
    np.testing.assert_array_equal(descent.run(descent.run(w0, 13), 17), whole)
    np.testing.assert_array_equal(descent.run(w0, 30), whole)


def check_arrays_are_not_shared(backend: str) -> None:
    """Check that `run` does not change its argument w, and that a returned w stays as it is."""
    descent = place(backend, problem(100, 3, "float64"))
    w0 = start(3)
    before = w0.copy()
    first = descent.run(w0, 5)
    kept = first.copy()
    descent.run(first, 5)
    np.testing.assert_array_equal(w0, before)
    np.testing.assert_array_equal(first, kept)


def check_gradient_and_loss(backend: str, dtype: str, features: int) -> None:
    """Compare the gradient and the loss with the reference."""
    data = problem(1009, features, dtype)
    descent = place(backend, data)
    w = start(features)
    gradient = descent.gradient(w)
    assert gradient.dtype == np.float64
    assert (
        relative_error(gradient * 2 / data.rows, data.reference.gradient(w)) <= TOLERANCE[dtype]
    )
    assert descent.loss(w) == pytest.approx(data.reference.loss(w), rel=10 * TOLERANCE[dtype])


def check_awkward_input(backend: str, features: int) -> None:
    """Check that strided, reversed and read-only arrays work and are not modified."""
    data = problem(202, features, "float32")
    wide = np.zeros((202, 2 * features), np.float32)
    wide[:, ::2] = data.x.reshape(202, features)
    y = data.y[::-1].copy()[::-1]
    awkward = Problem(wide[:, ::2] if features > 1 else wide[:, 0], y)
    wide.flags.writeable = y.flags.writeable = False
    before = wide.copy()
    w0 = start(features)
    w = place(backend, awkward).run(w0, 10)
    assert relative_error(w, data.reference.iterate(10, RATE, w0)) <= 1e-5
    np.testing.assert_array_equal(wide, before)
