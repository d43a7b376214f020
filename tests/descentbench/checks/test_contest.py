"""Test the comparison of programs that fit the same data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.optimize import minimize

from backends.losses import LOSSES
from backends.synthetic import generate
from descentbench.checks.contest import Method, contest, table, too_long
from descentbench.checks.minimum import minimum
from descentbench.checks.regression import KINDS, correlated, descents, main

HOW: dict[str, Any] = {
    "target": 1e-3,
    "rounds": 3,
    "limit_s": 1.0,
    "most_s": 60.0,
    "tell": lambda _: None,
}


def broken(_: float) -> Sequence[float]:
    raise ValueError("singular\nmatrix")


def compare(methods: Sequence[Method], rounds: int = 3, most_s: float = 60.0) -> tuple:
    told: list[str] = []
    how = HOW | {"rounds": rounds, "most_s": most_s, "tell": told.append}
    entries = contest(methods, lambda w: abs(w[0]), **how)
    return {entry.method.name: entry for entry in entries}, told


def test_the_coarsest_setting_that_reaches_the_target_is_timed_in_alternation() -> None:
    calls: list[str] = []

    def near(name: str, tol: float) -> Sequence[float]:
        calls.append(name)
        return [tol / 2]

    tolerances = (1e-1, 1e-2, 1e-3, 1e-4)
    a, b = (Method(n, lambda t, n=n: near(n, t), tolerances, "tol") for n in "ab")
    found, told = compare([a, b])
    assert found["a"].setting == 1e-3
    assert found["a"].excess == pytest.approx(5e-4)
    assert len(found["a"].seconds) == len(found["b"].seconds) == 3
    assert calls == ["a"] * 3 + ["b"] * 3 + ["a", "b", "b", "a", "a", "b"]
    assert told[-1] == "round 3 of 3"


def test_a_method_that_fails_or_misses_the_target_is_in_the_table() -> None:
    found, _ = compare(
        [
            Method("good", lambda _: [0.0]),
            Method("far", lambda tol: [1.0], (0.1, 0.01), "tol"),
            Method("broken", broken),
        ],
        rounds=1,
    )
    lines = table(found.values()).splitlines()
    assert len(found["good"].seconds) == 1
    assert lines[2].startswith("| good |")
    assert "| far | target not reached |" in lines[3]
    assert lines[3].endswith("| 1.0e+00 | tol=0.01 |")
    assert "| broken | failed: singular |" in lines[4]


def test_a_method_that_a_rehearsal_shows_to_be_slow_is_left_out() -> None:
    calls: list[float] = []

    def fit(setting: float) -> Sequence[float]:
        calls.append(setting)
        if len(calls) == 1:
            time.sleep(0.02)  # for instance an import
        return [0.0]

    quick = Method("quick", fit, (0.1, 0.01), "tol")
    assert too_long(quick, 100, 1.0) == ""
    assert calls == [0.1, 0.1]
    slow = Method("slow", lambda _: time.sleep(0.02) or [0.0])
    assert too_long(slow, 100, 1.0).startswith("left out: about 2")
    assert too_long(Method("broken", broken), 100, 1.0) == ""
    entries = contest([replace(quick, left_out="left out: about 2 s a fit")], abs, **HOW)
    assert calls == [0.1, 0.1]
    assert "| quick | left out: about 2 s a fit |  |  |  |  |" in table(entries)


def test_fits_in_vain_end_after_the_limit_together() -> None:
    calls: list[float] = []

    def fit(setting: float) -> Sequence[float]:
        calls.append(setting)
        time.sleep(0.4)
        return [1.0]

    found, _ = compare([Method("far", fit, (0.1, 0.01, 1e-3, 1e-4, 1e-5), "tol")])
    assert found["far"].problem == "target not reached"
    assert len(calls) == 3


def test_no_round_begins_after_the_time_is_up() -> None:
    found, _ = compare([Method("good", lambda _: [0.0])], most_s=0.0)
    assert len(found["good"].seconds) == 1


@pytest.mark.parametrize("name", ["squared_error", "log_loss"])
def test_the_minimum_is_scipy_s(name: str) -> None:
    problem = generate(300, 2, np.float64, loss=LOSSES[name])

    def loss(w: Sequence[float]) -> float:
        p = problem.x @ w[:-1] + w[-1]
        return float(np.mean(problem.loss.value(np, p, problem.y)))

    found = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    least = minimum(problem)
    assert least.loss == pytest.approx(found.fun, rel=1e-10)
    np.testing.assert_allclose(least.weights, found.x, rtol=1e-4)
    off = least.weights + np.array([1e-3, 0.0, 0.0])
    assert least.excess(off) == pytest.approx(loss(off) / least.loss - 1, rel=1e-5)
    assert least.excess(least.weights) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_method_finds_the_minimum_of_few_rows(kind: str) -> None:
    pytest.importorskip("sklearn")
    loss, _, others = KINDS[kind]
    problem = generate(400, 3, np.float64, loss=loss)
    excess = minimum(problem).excess
    for method in [*list(descents(problem))[:2], *others(problem)]:
        if "SGD" not in method.name:
            assert excess(method.fit(method.settings[-1])) < 1e-6, method.name


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_columns_have_the_correlation_that_is_asked_for(correlation: float) -> None:
    problem = correlated(100_000, 3, "float64", LOSSES["log_loss"], correlation)
    expected = np.where(np.eye(3) == 1, 1.0, correlation)
    np.testing.assert_allclose(np.corrcoef(problem.x.T), expected, atol=0.02)
    largest, *_, smallest = np.linalg.svd(problem.x, compute_uv=False) ** 2
    condition = (1 + 2 * correlation) / (1 - correlation)
    assert largest / smallest == pytest.approx(condition, rel=0.1)
    assert set(problem.y) == {0.0, 1.0}


def test_the_check_prints_markdown() -> None:
    pytest.importorskip("sklearn")
    options = ["--only", "logistic", "--scale", "0.0003", "--rounds", "1", "--limit", "0.1"]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    assert "### log_loss, 300 × 32" in done.stdout
    assert "| LogisticRegression lbfgs |" in done.stdout
