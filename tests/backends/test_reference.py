"""Test the reference against independent arithmetic."""

from __future__ import annotations

import tracemalloc
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import Problem, Reference, generate
from backends.reference import relative_error


def step_by_step(data: Problem, steps: int, rate: float, w: np.ndarray) -> np.ndarray:
    """Return w after taking every step by its definition, in extended precision."""
    x = data.x.reshape(data.rows, -1).astype(np.longdouble)
    y = data.y.astype(np.longdouble)
    w = w.astype(np.longdouble)
    for _ in range(steps):
        w = w - np.longdouble(rate) * 2 / data.rows * (x.T @ (x @ w - y))
    return w.astype(np.float64)


@given(
    rows=st.integers(1, 40),
    features=st.integers(1, 8),
    steps=st.integers(0, 50),
    rate=st.floats(1e-6, 0.029),
    seed=st.integers(0, 1000),
)
def test_iterate_is_the_definition(
    rows: int, features: int, steps: int, rate: float, seed: int
) -> None:
    """Compare with single steps, also for fewer rows than features.

    In the latter case, w must not change in some directions.
    """
    data = generate(rows, features, np.float64, seed)
    w0 = np.random.default_rng(seed).normal(size=features)
    expected = step_by_step(data, steps, rate, w0)
    assert relative_error(data.reference.iterate(steps, rate, w0), expected) < 1e-12


def test_iterate_against_exact_fractions() -> None:
    x, y = [Fraction(1), Fraction(2), Fraction(5)], [Fraction(3), Fraction(-1), Fraction(4)]
    w, rate = Fraction(1, 2), Fraction(1, 64)
    for _ in range(9):
        w -= rate * 2 * sum((a * (a * w - b) for a, b in zip(x, y, strict=True))) / 3
    reference = Reference.of(np.array([1.0, 2, 5]), np.array([3.0, -1, 4]))
    assert reference.iterate(9, 1 / 64, [0.5])[0] == pytest.approx(float(w), rel=1e-15)


def test_many_tiny_steps_keep_their_digits() -> None:
    """Compare a million very small steps with exact decimal arithmetic."""
    rate, steps, x, target, w0 = 1e-9, 10**6, 3, 2, 0.5
    with localcontext(prec=40):
        left = (1 - 2 * Decimal(rate) * x**2) ** steps
        expected = target + (Decimal(w0) - target) * left
    reference = Reference.of(np.array([float(x)]), np.array([float(x * target)]))
    found = reference.iterate(steps, rate, [w0])[0]
    assert found == pytest.approx(float(expected), rel=1e-14)


def test_iterate_far_along_is_the_solution() -> None:
    data = generate(500, 6, np.float64)
    expected = np.linalg.lstsq(data.x, data.y, rcond=None)[0]
    assert relative_error(data.reference.solution, expected) < 1e-12
    assert relative_error(data.reference.iterate(10**6, 0.01, np.zeros(6)), expected) < 1e-12


def test_beyond_the_largest_stable_rate_it_grows() -> None:
    reference = generate(100).reference
    away = reference.solution + 1
    for factor, grows in ((0.99, False), (1.01, True)):
        w = reference.iterate(100, factor * reference.largest_stable_rate, away)
        assert bool(abs(w - reference.solution)[0] > 1) is grows


def test_loss_and_gradient_are_the_definition() -> None:
    data = generate(1000, 3, np.float64)
    w = np.array([1.0, -2.0, 0.5])
    residual = data.x @ w - data.y
    assert data.reference.loss(w) == pytest.approx(np.mean(residual**2), rel=1e-12)
    np.testing.assert_allclose(data.reference.gradient(w), 2 * data.x.T @ residual / 1000)


def test_the_curvature_is_the_largest_of_any_direction() -> None:
    """Check the largest curvature; each row has one nonzero feature, so the answer is known."""
    x = np.kron(np.diag([1.0, 3.0, 2.0]), np.ones((4, 1)))
    reference = Reference.of(x, np.zeros(12))
    assert reference.lipschitz == pytest.approx(2 * 9 * 4 / 12)
    assert reference.largest_stable_rate == pytest.approx(1 / 3)


def test_the_pass_holds_no_more_than_two_blocks_of_eight_mebibytes() -> None:
    """Check that at most two blocks of rows exist as float64 copies at a time."""
    data = generate(300_000, 7)
    tracemalloc.start()
    try:
        Reference.of(data.x, data.y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 8 << 20 < peak < 2 * (8 << 20)


def test_many_blocks_add_up_to_one() -> None:
    """Compare with products of whole matrices; the data have more rows than one block holds."""
    data = generate(300_000, 7, np.float64)
    np.testing.assert_allclose(data.reference.gram, data.x.T @ data.x / 300_000, rtol=1e-12)
    np.testing.assert_allclose(data.reference.moment, data.x.T @ data.y / 300_000, rtol=1e-12)


def test_columns_that_say_the_same_share_their_weight() -> None:
    """Use two equal columns and a column of zeros, so that many solutions exist.

    The reference must return the solution nearest to 0.
    """
    x = np.linspace(1, 5, 50)
    y = 6 * x
    found = Reference.of(np.stack([x, x, 0 * x], axis=1), y).solution
    np.testing.assert_allclose(found, [3, 3, 0], atol=1e-12)


def test_data_of_zeros_are_stable_at_any_rate() -> None:
    reference = Reference.of(np.zeros(3), np.ones(3))
    assert reference.largest_stable_rate == np.inf
    assert reference.solution == [0.0]


def test_a_relative_error_is_of_the_expected() -> None:
    assert relative_error([3.0, 4.0], [3.0, 3.0]) == 1 / np.sqrt(18)
    assert relative_error([0.0, 0.5], [0.0, 0.0]) == 0.5
    for shape in ((1,), (3,), (1, 2), ()):
        assert relative_error(np.ones(shape), np.ones(2)) == np.inf
