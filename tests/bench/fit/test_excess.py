"""Test the estimated distance from the minimum against lstsq, SciPy and real descents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import generate, open_backend
from backends.losses import LOSSES, Loss
from backends.problem import make_problem
from backends.rows.made import Generated, InMemory
from backends.rows.source import Source
from bench.fit.excess import Excess, Quadratic, excess
from bench.fit.newton import minimise
from bench.fit.scaled import prepare

RNG = np.random.default_rng(3)
EVERYTHING = 1 << 40


def source_of(x: np.ndarray, y: np.ndarray, loss: str = "squared_error") -> Source:
    return InMemory.of(make_problem(x, y, np.float64, loss=LOSSES[loss]))


def unlike(rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    x = RNG.standard_normal((rows, 3)) * [1, 10, 1000] + [0, 30, 5000]
    return x, x @ [1, 0.1, 1e-3] + 5 + RNG.standard_normal(rows)


def found(source: Source, w: Any, rate: float = 1e-9, **how: Any) -> Excess:
    there = excess(source, w, rate, EVERYTHING, 0.0, **{"intercept": False} | how)
    assert there is not None
    return there


@given(seed=st.integers(0, 99), sizes=st.lists(st.floats(1e-8, 1e8), min_size=1, max_size=5))
def test_excess_over_the_minimum_of_lstsq(seed: int, sizes: list[float]) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((40, len(sizes))) * sizes, rng.standard_normal(40)
    best, (squares,), *_ = np.linalg.lstsq(x / sizes, y)
    w = best / sizes * (1 + rng.standard_normal(len(sizes)))
    there = found(source_of(x, y), w)
    loss = np.mean((x @ w - y) ** 2)
    assert there.minimum == pytest.approx(squares / 40)
    expected = (loss - squares / 40) / (squares / 40)
    assert there.relative == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert there.method == "reference"
    at_best = found(source_of(x, y), best / sizes)
    assert at_best.relative == pytest.approx(0, abs=1e-12)
    assert (at_best.finished, at_best.more_steps) == (True, 0)


def test_steps_are_those_that_a_descent_takes() -> None:
    problem = generate(200, 3, "float64")
    rate = 0.3 * problem.reference.largest_stable_rate
    there = found(InMemory.of(problem), [0.0] * 3, rate)
    assert there.more_steps is not None
    descent, limit = open_backend("numpy").place(problem, rate), there.minimum * 1.001
    limit += 1e-6 * (descent.loss([0.0] * 3) - there.minimum)
    assert descent.loss(descent.run([0.0] * 3, there.more_steps)) <= limit
    assert descent.loss(descent.run([0.0] * 3, int(0.98 * there.more_steps) - 1)) > limit


@pytest.mark.parametrize("intercept", [True, False])
def test_what_standardizing_would_change_is_what_it_changes(intercept: bool) -> None:
    raw = source_of(*unlike())
    plain = prepare(raw, "float64", intercept=intercept, standardize=False).source
    before = found(plain, np.zeros(plain.features), intercept=intercept)
    ready = prepare(raw, "float64", intercept=intercept, standardize=True).source
    after = found(ready, np.zeros(ready.features), intercept=intercept)
    assert before.condition_number > 1e5
    assert before.standardized_condition_number == pytest.approx(
        after.condition_number, rel=1e-3
    )
    assert after.automatic_steps is not None
    assert before.standardized_steps == pytest.approx(after.automatic_steps, rel=0.3, abs=3)
    assert before.minimum == pytest.approx(after.minimum)


def test_condition_number_of_dependent_columns_is_that_of_the_others() -> None:
    x, y = RNG.standard_normal((100, 2)), RNG.standard_normal(100)
    both = np.column_stack([x, x[:, 0], np.zeros(100)])
    values = np.linalg.eigvalsh(both.T @ both)
    there = found(source_of(both, y), np.zeros(4))
    assert there.condition_number == pytest.approx(values[3] / values[2])


def test_a_rate_that_never_arrives_has_no_number_of_steps() -> None:
    quadratic = Quadratic(np.diag([1.0, 1e-30]), 1.0)
    assert quadratic.steps(np.array([0.0, 1e20]), None, 1e-3) is None
    assert quadratic.steps(np.array([1.0, 0.0]), 2.5, 1e-3) is None
    assert quadratic.steps(np.array([1.0, 0.0]), None, 1e-3) == 1
    assert quadratic.steps(np.array([1e-2, 0.0]), None, 1e-3) == 0
    assert quadratic.steps(np.array([0.0, 0.0]), 2.5, 1e-3) == 0


def test_a_perfect_fit_has_no_relative_excess() -> None:
    x = np.arange(10.0)
    there = found(source_of(x, 2 * x), [1.9999])
    assert there.minimum == pytest.approx(0, abs=1e-20)
    assert (there.relative, there.finished) == (None, True)
    assert not found(source_of(x, 2 * x), [1.9]).finished


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "squared_error"])
@pytest.mark.parametrize("own", [False, True], ids=["slope", "value only"])
def test_newton_finds_the_minimum_of_scipy(loss: str, own: bool) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    known = LOSSES[loss]
    problem = generate(3000, 3, "float64", loss=known)
    used = Loss("own", known.value) if own else known
    source = Generated(3000, 3, "float64", loss=known)
    if own:
        source = InMemory.of(make_problem(problem.x, problem.y, np.float64, loss=used))
    low = minimise(source, np.zeros(3))
    assert low is not None

    def value(w: np.ndarray) -> float:
        return float(np.mean(known.value(np, problem.x @ w, problem.y)))

    expected = optimize.minimize(value, np.zeros(3), method="BFGS", options={"gtol": 1e-7})
    assert low.loss == pytest.approx(expected.fun, abs=1e-9)
    assert low.first == pytest.approx(value(np.zeros(3)))
    there = found(source, low.w + 0.01)
    assert there.method == "newton"
    assert there.absolute == pytest.approx(value(low.w + 0.01) - low.loss, rel=1e-4, abs=1e-9)


def test_separable_data_have_no_minimum() -> None:
    x = np.linspace(-1, 1, 50)
    source = source_of(x, (x > 0).astype(float), "log_loss")
    assert excess(source, [1.0], 0.1, EVERYTHING, 0.5, intercept=False) is None


def test_what_takes_long_or_overflows_is_not_computed() -> None:
    large = Generated(10**9, 2)
    assert excess(large, [0, 0], 0.1, 1e6, 1.0, intercept=False) is None
    for loss in ("log_loss", "squared_error"):
        wide = Generated(10**9, 2, loss=LOSSES[loss])
        assert excess(wide, [0, 0], 0.1, 1e6, 1.0, intercept=False) is None
    x = np.array([1e200, 2e200])
    assert excess(source_of(x, x), [0], 0.1, EVERYTHING, 1.0, intercept=False) is None


def test_a_reference_that_is_there_is_used_without_another_pass() -> None:
    source = Generated(100, 2)
    loss = source.reference.loss([0, 0])
    there = excess(source, [0, 0], 0.1, 0, loss, intercept=False)
    assert there is not None
    expected = source.reference.loss(source.reference.solution)
    assert there.minimum == pytest.approx(expected, rel=1e-6)
