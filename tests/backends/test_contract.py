"""Test all backends of the catalogue: the same w, for any shape of data and any first w."""

from __future__ import annotations

import numpy as np
import pytest

from backends import Problem, generate
from backends.problem import DTYPES
from backends.reference import relative_error
from tests.support.backends import parameters
from tests.support.contract import (
    RATE,
    check_arrays_are_not_shared,
    check_awkward_input,
    check_gradient_and_loss,
    check_iterates,
    check_rows,
    check_runs_add_up,
    place,
    problem,
)

FEATURES = (1, 2, 7, 32, 500)


every_backend = pytest.mark.parametrize("backend", parameters())


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
def test_iterates_equal_the_reference(backend: str, dtype: str, features: int) -> None:
    check_iterates(backend, dtype, features)


@every_backend
@pytest.mark.parametrize("rows", [1, 2, 9, 100, 300_007])
def test_any_number_of_rows(backend: str, rows: int) -> None:
    check_rows(backend, rows)


@every_backend
def test_a_thousand_steps_on_a_million_rows(backend: str) -> None:
    """Check that errors of float32 sums grow neither with the rows nor with the steps."""
    data = problem(1_000_000, 1, "float32")
    w = place(backend, data).run(np.zeros(1), 1000)
    assert relative_error(w, data.reference.iterate(1000, RATE, np.zeros(1))) <= 1e-6


@every_backend
@pytest.mark.parametrize("features", [1, 7])
def test_runs_add_up_and_repeat(backend: str, features: int) -> None:
    check_runs_add_up(backend, features)


@every_backend
def test_a_start_is_not_written_to_and_a_result_is_kept(backend: str) -> None:
    check_arrays_are_not_shared(backend)


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
def test_gradient_and_loss(backend: str, dtype: str, features: int) -> None:
    check_gradient_and_loss(backend, dtype, features)


@every_backend
@pytest.mark.parametrize("features", [1, 3])
def test_awkward_input_is_used_as_it_is(backend: str, features: int) -> None:
    check_awkward_input(backend, features)


@every_backend
def test_every_other_row(backend: str) -> None:
    data = problem(200, 5, "float64")
    half = Problem(data.x[::2], data.y[::2])
    w = place(backend, half).run(np.zeros(5), 10)
    assert relative_error(w, half.reference.iterate(10, RATE, np.zeros(5))) <= 1e-12


@every_backend
def test_fortran_order(backend: str) -> None:
    data = problem(300, 9, "float32")
    turned = Problem(np.asfortranarray(data.x), data.y)
    w = place(backend, turned).run(np.zeros(9), 10)
    assert relative_error(w, data.reference.iterate(10, RATE, np.zeros(9))) <= 1e-5


@every_backend
def test_the_learning_rate_counts(backend: str) -> None:
    data = problem(100, 1, "float64")
    w = place(backend, data, rate=0.02).run([0.0], 7)
    assert relative_error(w, data.reference.iterate(7, 0.02, [0.0])) <= 1e-12


@every_backend
@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.slow
def test_a_hundred_million_rows(backend: str, features: int) -> None:
    """Check w for 10⁸ rows, where plain float32 sums would have errors above 1e-3."""
    data = generate(100_000_000, features, np.float32)
    w = place(backend, data).run(np.zeros(features), 3)
    assert relative_error(w, data.reference.iterate(3, RATE, np.zeros(features))) <= 1e-5
