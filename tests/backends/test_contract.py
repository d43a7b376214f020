"""Every backend of the catalogue keeps the contract: same w, any shape, any start."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from backends import Descent, Problem, catalogue, generate, open_backend
from backends.problem import DTYPES, TOLERANCE
from backends.reference import relative_error

RATE = 0.001
FEATURES = (1, 2, 7, 32, 500)
STEPS = (0, 1, 10, 137)


def backends() -> list[object]:
    """Every backend that the catalogue knows; one that cannot run is a skip with its reason."""
    params = []
    for entry in catalogue.entries():
        if entry.name.distributed:  # test_cluster.py asks the same of it, of several workers
            continue
        marks = [pytest.mark.gpu] if entry.name.device.startswith("cuda") else []
        if not entry.available:
            marks.append(pytest.mark.skip(reason=f"{entry.name}: {entry.reason}"))
        params.append(pytest.param(str(entry.name), id=str(entry.name), marks=marks))
    return params


every_backend = pytest.mark.parametrize("backend", backends())


@lru_cache
def problem(rows: int, features: int, dtype: str) -> Problem:
    return generate(rows, features, dtype)


def place(backend: str, on: Problem, rate: float = RATE) -> Descent:
    return open_backend(backend).place(on, rate)


def start(features: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-3, 3, features)


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
def test_iterates_equal_the_reference(backend: str, dtype: str, features: int) -> None:
    """1009 rows is prime: no block, lane or thread count divides it."""
    data = problem(1009, features, dtype)
    descent = place(backend, data)
    for w0 in (np.zeros(features), start(features)):
        for steps in STEPS:
            w = descent.run(w0, steps)
            assert w.dtype == np.float64
            assert w.shape == (features,)
            expected = data.reference.iterate(steps, RATE, w0)
            assert relative_error(w, expected) <= TOLERANCE[dtype], steps


@every_backend
@pytest.mark.parametrize("rows", [1, 2, 9, 100, 300_007])
def test_any_number_of_rows(backend: str, rows: int) -> None:
    for features in (1, 3) if rows > 10_000 else (1, 3, 40):
        data = problem(rows, features, "float32")
        w0 = start(features)
        w = place(backend, data).run(w0, 20)
        assert relative_error(w, data.reference.iterate(20, RATE, w0)) <= 1e-5


@every_backend
def test_a_thousand_steps_on_a_million_rows(backend: str) -> None:
    """Errors of float32 sums neither grow with the rows nor add up over the steps."""
    data = problem(1_000_000, 1, "float32")
    w = place(backend, data).run(np.zeros(1), 1000)
    assert relative_error(w, data.reference.iterate(1000, RATE, np.zeros(1))) <= 1e-6


@every_backend
@pytest.mark.parametrize("features", [1, 7])
def test_runs_add_up_and_repeat(backend: str, features: int) -> None:
    descent = place(backend, problem(1009, features, "float32"))
    w0 = start(features)
    whole = descent.run(w0, 30)
    np.testing.assert_array_equal(descent.run(descent.run(w0, 13), 17), whole)
    np.testing.assert_array_equal(descent.run(w0, 30), whole)


@every_backend
def test_a_start_is_not_written_to_and_a_result_is_kept(backend: str) -> None:
    descent = place(backend, problem(100, 3, "float64"))
    w0 = start(3)
    before = w0.copy()
    first = descent.run(w0, 5)
    kept = first.copy()
    descent.run(first, 5)
    np.testing.assert_array_equal(w0, before)
    np.testing.assert_array_equal(first, kept)


@every_backend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
def test_gradient_and_loss(backend: str, dtype: str, features: int) -> None:
    data = problem(1009, features, dtype)
    descent = place(backend, data)
    w = start(features)
    gradient = descent.gradient(w)
    assert gradient.dtype == np.float64
    assert (
        relative_error(gradient * 2 / data.rows, data.reference.gradient(w)) <= TOLERANCE[dtype]
    )
    assert descent.loss(w) == pytest.approx(data.reference.loss(w), rel=10 * TOLERANCE[dtype])


@every_backend
@pytest.mark.parametrize("features", [1, 3])
def test_awkward_input_is_used_as_it_is(backend: str, features: int) -> None:
    """Strided, reversed and read-only arrays; none of them is modified."""
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
    """Float32 sums that run on would be off by more than 1e-3 here."""
    data = generate(100_000_000, features, np.float32)
    w = place(backend, data).run(np.zeros(features), 3)
    assert relative_error(w, data.reference.iterate(3, RATE, np.zeros(features))) <= 1e-5
