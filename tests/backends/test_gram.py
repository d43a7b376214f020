"""Test XᵀX and Xᵀy of every library: exact sums and accurate losses."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import Problem, generate, open_backend
from backends.gram import ProblemGram, Sums
from backends.reference import relative_error
from backends.rows.made import InMemory
from backends.rows.streamed import StreamedGram

RATE = 0.001


def whole_numbers(rows: int, features: int) -> Problem:
    """Return a problem of small integers: all products and sums are exact, even in float32."""
    rng = np.random.default_rng(rows)
    x = rng.integers(-3, 4, (rows, features)).astype(np.float32)
    return Problem(
        x[:, 0] if features == 1 else x, rng.integers(-9, 10, rows).astype("float32")
    )


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
@pytest.mark.parametrize("features", [1, 3, 20])
@pytest.mark.parametrize("rows", [70, 1000, 100_003, (1 << 18) + 1, (1 << 20) + 257])
def test_a_gram_takes_every_row_once(library: str, features: int, rows: int) -> None:
    """Check that sums contain every row once, with several threads and incomplete blocks."""
    if library != "numpy":
        pytest.importorskip(library)
    problem = whole_numbers(rows, features if rows < 1 << 20 else 1)
    x, y = problem.x.reshape(rows, -1).astype(np.float64), problem.y.astype(np.float64)
    descent: Any = open_backend(f"{library}:gram").place(problem, RATE)
    xtx, xty, yty = descent.moments()
    np.testing.assert_array_equal(xtx, x.T @ x)
    np.testing.assert_array_equal(xty, x.T @ y)
    assert yty == y @ y


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
def test_a_gram_errs_less_than_a_loop_of_a_million_rows(library: str) -> None:
    """Check that errors are at most 5e-9; a loop over float32 rows has about 1e-8."""
    if library != "numpy":
        pytest.importorskip(library)
    problem = generate(1_000_000)
    w = open_backend(f"{library}:gram").place(problem, RATE).run(np.zeros(1), 1000)
    assert relative_error(w, problem.reference.iterate(1000, RATE, np.zeros(1))) <= 5e-9


# losses


def exact_loss(problem: Problem, w: np.ndarray) -> Fraction:
    """Return the exact loss as a fraction."""
    exact, total = [Fraction(value) for value in w.tolist()], Fraction(0)
    rows = problem.x.reshape(problem.rows, -1).tolist()
    for x, y in zip(rows, problem.y.tolist(), strict=True):
        total += (
            sum(a * Fraction(b) for a, b in zip(exact, x, strict=True)) - Fraction(y)
        ) ** 2
    return total / problem.rows


def rounding(problem: Problem, w: np.ndarray) -> float:
    """Return an upper bound for the rounding error of a residual in float64."""
    x = np.abs(problem.x.reshape(problem.rows, -1)).astype(np.float64)
    size = float((x @ np.abs(w) + np.abs(problem.y)).max())
    return float(8 * np.finfo(np.float64).eps * size)


def check_loss(found: float, problem: Problem, w: np.ndarray, accuracy: float = 1e-5) -> None:
    expected = exact_loss(problem, w)
    assert found >= 0
    apart, unsure = float(abs(Fraction(found) - expected)), rounding(problem, w)
    least = float(expected)
    assert apart <= accuracy * least + (2 * least**0.5 + unsure) * unsure


def offset(rows: int = 1000) -> Problem:
    """Return a problem with y near 10⁶ and noise of 0.001, so that the loss is tiny."""
    column = np.linspace(1, 2, rows)
    noise = 1e-3 * np.random.default_rng(0).standard_normal(rows)
    x = np.stack([np.ones(rows), column], axis=1)
    return Problem(x, 1e6 + 3 * column + noise)


@pytest.mark.parametrize("library", ["numpy", "numba", "torch", "jax"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_loss_far_below_its_terms_is_accurate(library: str, streamed: bool) -> None:
    """Fixed bug: the loss was −8.75e-4 instead of 1.84e-3, because its terms are about 10¹²."""
    if library != "numpy":
        pytest.importorskip(library)
    problem, rate = offset(), 0.15
    backend = open_backend(f"{library}:gram")
    if streamed:
        descent: Any = StreamedGram(backend, InMemory.of(problem), rate, 4000)
    else:
        descent = backend.place(problem, rate)
    w = np.array([1e6, 2.5])
    for _ in range(6):
        check_loss(descent.loss(w), problem, w)
        w = descent.run(w, 20)
    check_loss(descent.loss(np.zeros(2)), problem, np.zeros(2))
    check_loss(descent.loss(problem.reference.solution), problem, problem.reference.solution)


def test_a_column_of_many_rows_has_an_accurate_loss_too() -> None:
    """Check the loss for many float32 rows, whose sums NumPy computes in pieces."""
    x = (1 + np.random.default_rng(0).random(1 << 18)).astype(np.float32)
    problem = Problem(x, 3 * x)  # y is rounded, so the loss is about 1e-14
    descent = open_backend("numpy:gram").place(problem, 0.1)
    for w in ([0.0], [2.999], [3.0001], [3.0 + 1e-9]):
        residual = x.astype(np.longdouble) * np.longdouble(w[0]) - problem.y
        assert descent.loss(w) == pytest.approx(float(np.mean(residual**2)), rel=1e-5)


@settings(deadline=None)
@given(
    rows=st.integers(1, 30),
    features=st.integers(1, 3),
    dtype=st.sampled_from(["float32", "float64"]),
    scale=st.floats(1e-3, 1e6),
    away=st.floats(-1e3, 1e3),
    noise=st.sampled_from([0.0, 1e-9, 1e-3, 1.0]),
    apart=st.sampled_from([0.0, 1e-12, 1e-6, 1e-2, 1.0]),
    seed=st.integers(0, 1000),
)
def test_losses_are_those_of_exact_fractions(
    rows: int,
    features: int,
    dtype: str,
    scale: float,
    away: float,
    noise: float,
    apart: float,
    seed: int,
) -> None:
    """Compare the losses of `gram` and of the reference with exact fractions."""
    rng = np.random.default_rng(seed)
    x = away + rng.standard_normal((rows, features))
    truth = scale * rng.standard_normal(features)
    y = x @ truth + noise * rng.standard_normal(rows)
    problem = Problem(x.astype(dtype), y.astype(dtype))
    descent = open_backend("numpy:gram").place(problem, 1e-9)
    for w in (truth * (1 + apart), np.zeros(features), truth, truth + apart):
        check_loss(descent.loss(w), problem, w)
        check_loss(problem.reference.loss(w), problem, w, accuracy=1e-12)


def test_losses_near_the_minimum_read_the_rows_few_times() -> None:
    """Check that 1000 losses near the minimum read the rows only once."""
    problem, reads = offset(), list[np.ndarray]()

    class Counted(ProblemGram):
        def residual_sums(self, w: np.ndarray) -> Sums:
            reads.append(w)
            return super().residual_sums(w)

    placed: Any = open_backend("numpy:gram").place(problem, 0.15)
    descent = Counted(problem, 0.15, placed.moments())
    w = np.array([1e6, 2.5])
    for _ in range(1000):
        descent.loss(w)
        w = descent.run(w, 1)
    assert len(reads) == 1
