"""Test the float64 descent that checks w for losses other than squared error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from backends import Problem, generate
from backends.losses import HUBER, LOG_LOSS, LOSSES, POISSON, SQUARED_ERROR, Loss
from backends.reference import relative_error
from backends.rows.made import Generated
from bench.measure import iterate, shared
from bench.measure.derivative import _by_jax, _by_torch
from bench.measure.iterate import Iterated, iterated, slope_of
from bench.measure.verify import (
    WrongResultError,
    slow_rate,
    start_scale,
    usual_rate,
    verify,
)
from tests.support.any_loss import BySlope
from tests.support.losses import TEXTBOOK

OTHERS = [loss for loss in LOSSES.values() if loss != SQUARED_ERROR]


def test_every_built_in_loss_has_an_independent_slope() -> None:
    """The check of w needs its own slope for every loss, independent of the tested slope."""
    assert set(iterate.SLOPES) == set(LOSSES.values())


PSEUDO_HUBER = Loss(
    "pseudo_huber-12345678",
    lambda xp, p, y: xp.exp(0.5 * xp.log(1.0 + (p - y) * (p - y))) - 1.0,
    lambda xp, p, y: (p - y) * xp.exp(-0.5 * xp.log(1.0 + (p - y) * (p - y))),
    curvature=1.0,
)


@pytest.mark.parametrize("features", [1, 7])
def test_a_quadratic_loss_has_the_closed_forms_iterates(features: int) -> None:
    data = generate(5000, features, "float64")
    w0 = np.linspace(-1, 1, features)
    for steps in (0, 1, 40):
        found = iterated(data).iterate(steps, 0.002, w0)
        assert relative_error(found, data.reference.iterate(steps, 0.002, w0)) < 1e-13


@pytest.mark.parametrize("loss", OTHERS, ids=lambda loss: loss.name)
@pytest.mark.parametrize("features", [1, 3])
def test_at_convergence_w_is_scipys_minimum(loss: Loss, features: int) -> None:
    """Compare with SciPy's minimum, which SciPy finds without any slope of this project."""
    data = generate(500, features, "float64", loss=loss)
    x, textbook = data.x.reshape(500, features), TEXTBOOK[loss.name]

    def mean_loss(w: np.ndarray) -> float:
        return float(textbook.value(x @ w, data.y).mean())

    best = minimize(mean_loss, np.zeros(features), method="BFGS", options={"gtol": 1e-9}).x
    # A loss without a curvature gets twice its largest curvature at the minimum.
    curvature = loss.curvature or 2 * textbook.second(x @ best, data.y).max()
    rate = 1 / (data.reference.lipschitz / 2 * curvature)
    found = iterated(data).iterate(20_000, rate, np.zeros(features))
    assert relative_error(found, best) < 1e-5
    assert np.linalg.norm(iterated(data).gradient(found)) < 1e-9


@pytest.mark.parametrize("loss", [*OTHERS, PSEUDO_HUBER], ids=lambda loss: loss.name)
@pytest.mark.parametrize("features", [1, 7, 500])
def test_starts_and_rates_are_finite_and_every_step_shows(loss: Loss, features: int) -> None:
    """Check that w stays finite, and that a missing step is noticed."""
    data = generate(400, features, "float32", loss=loss)
    w0 = start_scale(data) * np.ones(features)
    for steps, rate in ((3, usual_rate(data)), (64, slow_rate(data, 64))):
        w = BySlope.place(data, rate).run(w0, steps)
        assert np.isfinite(w).all()
        verify(data, w0, steps, w, rate)
        with pytest.raises(WrongResultError):
            verify(data, w0, steps, BySlope.place(data, rate).run(w0, steps - 1), rate)


def test_a_long_row_in_a_file_does_not_overflow_poisson() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1000, 3)), rng.poisson(2, 1000).astype(float)
    x[17] *= 1e4
    data = Problem(x, y, loss=POISSON)
    w0 = start_scale(data) * np.ones(3)
    assert np.abs(x @ w0).max() <= 1.0
    w = BySlope.place(data, slow_rate(data, 100)).run(w0, 100)
    assert np.abs(x @ w).max() <= 2.0
    verify(data, w0, 100, w, slow_rate(data, 100))


def test_rows_that_are_streamed_have_the_same_iterates() -> None:
    source = Generated(50_021, 3, "float64", loss=LOG_LOSS)
    data = source.load()
    found, expected = (iterated(rows).iterate(5, 0.1, np.ones(3)) for rows in (source, data))
    assert relative_error(found, expected) < 1e-13
    assert usual_rate(source) == usual_rate(data)


@pytest.mark.parametrize("library", ["jax", "torch"])
@pytest.mark.parametrize("loss", [HUBER, PSEUDO_HUBER, POISSON], ids=lambda loss: loss.name)
def test_without_a_slope_autograd_gives_the_same(library: str, loss: Loss) -> None:
    pytest.importorskip(library)
    p, y = np.linspace(-3, 3, 101) + 1e-3, np.round(np.linspace(0, 4, 101))
    made = {"jax": _by_jax, "torch": _by_torch}[library](Loss("own", loss.value))
    np.testing.assert_allclose(made(p, y), slope_of(loss)(p, y), 1e-13, 1e-14)


def test_the_steps_of_a_round_are_bounded_by_the_references_time(monkeypatch) -> None:
    data = generate(100_000, 3, loss=LOG_LOSS)
    monkeypatch.setattr(iterate, "SECONDS", 1e-9)
    assert iterated(data).most_steps == iterate.FEWEST_STEPS
    monkeypatch.setattr(iterate, "SECONDS", 1e9)
    most = Iterated(data).most_steps
    assert most > 1e6
    assert most & (most - 1) == 0


def test_an_iterate_is_computed_once_a_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(shared.VARIABLE, str(tmp_path))
    one, same = generate(100, 2, loss=LOG_LOSS), generate(100, 2, loss=LOG_LOSS)
    first = iterated(one).iterate(4, 0.1, np.ones(2))
    monkeypatch.setattr(Iterated, "gradient", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(iterated(same).iterate(4, 0.1, np.ones(2)), first)
    for other in (generate(100, 2, loss=HUBER), generate(101, 2, loss=LOG_LOSS)):
        with pytest.raises(pytest.fail.Exception, match="computed again"):
            iterated(other).iterate(4, 0.1, np.ones(2))
