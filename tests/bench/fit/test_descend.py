"""Test the loop of ``fit``: checks between steps, stopping and divergence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends import generate, open_backend
from backends.problem import make_problem
from bench.fit.descend import Fit, descend
from bench.fit.rate import DivergenceError
from bench.show.text import number_text, weights_text

NUMPY = open_backend("numpy")
CLASSIC = generate(100)


def epochs(fit: Fit) -> list[int]:
    return [epoch.epoch for epoch in fit.epochs]


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [
        (100, 20, [1, 21, 41, 61, 81, 100]),
        (101, 20, [1, 21, 41, 61, 81, 101]),
        (3, 1, [1, 2, 3]),
        (1, 20, [1]),
        (0, 20, []),
    ],
)
def test_epochs_are_the_tutorials_and_the_last(
    steps: int, every: int, expected: list[int]
) -> None:
    fit = descend(NUMPY, CLASSIC, 0.001, steps=steps, every=every)
    assert epochs(fit) == expected
    assert fit.steps == steps


def test_without_steps_w_is_the_start() -> None:
    fit = descend(NUMPY, CLASSIC, 0.001, steps=0, w0=[1.5])
    assert fit.w == (1.5,)
    assert fit.loss == pytest.approx(CLASSIC.reference.loss([1.5]), rel=1e-6)


@given(
    features=st.integers(1, 4),
    steps=st.integers(1, 60),
    every=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_chunks_come_to_the_same_w_as_one_run(
    features: int, steps: int, every: int, seed: int
) -> None:
    problem = generate(50, features, seed=seed)
    w0 = np.random.default_rng(seed).standard_normal(features)
    fit = descend(NUMPY, problem, 0.001, steps=steps, every=every, w0=w0)
    assert fit.w == tuple(NUMPY.place(problem, 0.001).run(w0, steps))


@given(features=st.integers(1, 4), seed=st.integers(0, 99))
def test_each_epoch_has_the_closed_form_w_and_the_loss_at_that_w(
    features: int, seed: int
) -> None:
    problem = generate(50, features, "float64", seed)
    for epoch in descend(NUMPY, problem, 0.005).epochs:
        w = problem.reference.iterate(epoch.epoch, 0.005, np.zeros(features))
        assert epoch.w == pytest.approx(w, rel=1e-9)
        residual = problem.x.reshape(50, features) @ w - problem.y
        assert epoch.loss == pytest.approx(np.mean(residual**2))


def test_stops_at_the_first_look_with_a_low_loss() -> None:
    fit = descend(NUMPY, CLASSIC, 0.001, steps=1000, every=5, until_loss=2.0)
    assert fit.stopped == "loss"
    assert fit.loss <= 2.0 < fit.epochs[-2].loss
    assert fit.steps == fit.epochs[-1].epoch < 1000


def test_stops_at_the_first_look_with_a_small_gradient() -> None:
    fit = descend(NUMPY, CLASSIC, 0.001, steps=1000, every=5, tolerance=1e-3)
    gradient = CLASSIC.reference.gradient
    before, last = (np.linalg.norm(gradient(e.w) / gradient([0.0])) for e in fit.epochs[-2:])
    assert fit.stopped == "tolerance"
    assert last <= 1e-3 < before


def test_stops_before_the_first_step_where_nothing_is_to_be_done() -> None:
    exact = make_problem([1, 2, 3], [2, 4, 6])
    for rule in ({"until_loss": 0.1}, {"tolerance": 0.1}):
        fit = descend(NUMPY, exact, 0.001, w0=[2.0], **rule)
        assert (fit.steps, fit.loss, fit.epochs) == (0, 0.0, ())


def test_criteria_that_are_not_met_leave_all_steps_taken() -> None:
    fit = descend(NUMPY, CLASSIC, 0.001, until_loss=1e-9, tolerance=1e-15)
    assert (fit.stopped, fit.steps) == ("steps", 100)


def test_every_look_is_reported_as_it_is_made() -> None:
    seen = []
    fit = descend(NUMPY, CLASSIC, 0.001, on_epoch=seen.append)
    assert seen[0].epoch == 0
    assert tuple(seen[1:]) == fit.epochs


def test_predicts_with_the_last_w() -> None:
    fit = descend(NUMPY, generate(50, 2), 0.001, predict=[(1.0, 0.0), (2.0, 3.0)])
    first, second = fit.predictions
    assert first.y == fit.w[0]
    assert second.y == pytest.approx(2 * fit.w[0] + 3 * fit.w[1])


@settings(deadline=None)
@given(
    features=st.integers(1, 4),
    beyond=st.floats(1.01, 1e6),
    every=st.integers(1, 50),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_a_rate_beyond_the_largest_stable_one_diverges(
    features: int, beyond: float, every: int, dtype: str
) -> None:
    problem = generate(50, features, dtype)
    limit = problem.reference.largest_stable_rate
    with pytest.raises(DivergenceError, match=f"{limit:.6g}"):
        descend(NUMPY, problem, beyond * limit, steps=3000, every=every)


@settings(deadline=None)
@given(features=st.integers(1, 4), below=st.floats(0.01, 0.999))
def test_a_rate_below_it_never_does(features: int, below: float) -> None:
    problem = generate(50, features)
    rate = below * problem.reference.largest_stable_rate
    fit = descend(NUMPY, problem, rate, steps=1000, every=7)
    assert fit.loss <= problem.reference.loss(np.zeros(features))


def test_the_minimum_holds_at_any_rate() -> None:
    fit = descend(NUMPY, make_problem([1, 2, 3], [2, 4, 6]), 100.0, w0=[2.0])
    assert fit.w == (2.0,)


def test_numbers_that_overflow_at_a_stable_rate_are_told_apart() -> None:
    with pytest.raises(DivergenceError, match="too large for float32"):
        descend(NUMPY, CLASSIC, 0.001, w0=[1e30])


def test_numbers_are_written_for_people() -> None:
    assert [number_text(v) for v in (0.0, 2.1476, -0.02, 0.00123, 1.5e7)] == [
        "0.000", "2.148", "-0.020", "1.230e-03", "1.500e+07",
    ]  # fmt: skip
    assert weights_text((1.0, 2.0)) == "1.000, 2.000"
    assert weights_text((1.0,) * 9).endswith("1.000, … (9 in all)")
