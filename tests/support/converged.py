"""Check that converged weights agree with the minimum that SciPy finds."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.optimize import minimize

from backends import Problem, open_backend
from backends.losses import Loss
from bench.fit.rate import automatic_rate
from tests.support.losses import TEXTBOOK

ROWS, FEATURES, STEPS = 300, 3, 120


@lru_cache
def data(loss: Loss) -> Problem:
    """Return rows whose best weights are neither very small nor very large.

    The targets have noise, because log_loss has no minimum if the classes can be separated.
    """
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, FEATURES))
    z = x @ [0.8, -0.5, 0.3]
    y = (
        z + rng.standard_t(3, ROWS)
        if loss.targets is None
        else loss.targets(z, rng.random(ROWS))
    )
    return Problem(x, y, loss=loss)


@lru_cache
def minimum(loss: Loss) -> np.ndarray:
    """Return the weights that minimise the mean loss, by SciPy's BFGS in float64."""
    textbook = TEXTBOOK[loss.name]
    x, y = data(loss).x, data(loss).y
    found = minimize(
        lambda w: textbook.value(x @ w, y).mean(),
        np.zeros(FEATURES),
        jac=lambda w: textbook.slope(x @ w, y) @ x / ROWS,
        method="BFGS",
        options={"gtol": 1e-11},
    )
    assert np.abs(found.jac).max() < 1e-9
    return np.asarray(found.x)


def rate(loss: Loss) -> float:
    """Return the automatic learning rate, or a safe rate for a loss without a curvature."""
    if loss.curvature is not None:
        return automatic_rate(data(loss))
    x, y = data(loss).x, data(loss).y
    # during the descent, the second derivative is at most twice this value
    second = TEXTBOOK[loss.name].second(x @ minimum(loss), y)
    return float(0.5 / np.linalg.eigvalsh((x.T * second) @ x / ROWS).max())


def check_converged(backend: str, loss: Loss) -> None:
    placed = open_backend(backend).place(data(loss), rate(loss))
    w = placed.run(np.zeros(FEATURES), STEPS)
    np.testing.assert_allclose(w, minimum(loss), rtol=1e-7, atol=1e-8)
