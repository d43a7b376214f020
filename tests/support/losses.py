"""Checks of backends with losses other than squared error, and the textbooks' formulas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest
from scipy.special import expit, log_expit

from backends import BackendError, Descent, Problem, generate, open_backend
from backends.losses import LOSSES, Loss
from backends.problem import TOLERANCE
from backends.reference import relative_error

RATE = 0.001

BEYOND = {"huber": 30.0, "pseudo_huber": 30.0}
"""Loss → factor for the weights of `start`, so that another branch of the loss is tested.

Other losses have the factor −1. Synthetic features are positive. Predictions are therefore
negative with −1, and larger than the targets with 30.
"""

NAMES = [name for name in LOSSES if name != "squared_error"]

Formula = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Textbook:
    """A loss's value and its first two derivatives with respect to the prediction."""

    value: Formula
    slope: Formula
    second: Formula


TEXTBOOK = {
    "squared_error": Textbook(
        lambda p, y: (p - y) ** 2, lambda p, y: 2 * (p - y), lambda p, y: np.full_like(p, 2.0)
    ),
    "log_loss": Textbook(
        lambda p, y: -(y * log_expit(p) + (1 - y) * log_expit(-p)),
        lambda p, y: expit(p) - y,
        lambda p, y: expit(p) * expit(-p),
    ),
    "huber": Textbook(
        lambda p, y: np.where(abs(p - y) <= 1, (p - y) ** 2 / 2, abs(p - y) - 0.5),
        lambda p, y: np.clip(p - y, -1, 1),
        lambda p, y: np.where(abs(p - y) <= 1, 1.0, 0.0),
    ),
    "poisson": Textbook(
        lambda p, y: np.exp(p) - y * p, lambda p, y: np.exp(p) - y, lambda p, y: np.exp(p)
    ),
}
"""Loss → its formulas, written independently of `backends.losses`."""


def _pseudo_huber(xp, p, y):  # type: ignore[no-untyped-def]
    r = p - y
    return xp.exp(0.5 * xp.log1p(r * r)) - 1


VALUE_ONLY = Loss("pseudo_huber-01234567", _pseudo_huber)
"""A user's loss without a slope, named like a loss from a file."""

WITH_SLOPE = Loss(
    "pseudo_huber", _pseudo_huber, lambda xp, p, y: (p - y) / np.sqrt(1 + (p - y) ** 2)
)
"""The loss `VALUE_ONLY` with a slope, which `descended` needs."""

QUANTILE = Loss(
    "quantile-01234567",
    lambda xp, p, y: xp.where(p >= y, 0.1, -0.9) * (p - y),
    lambda xp, p, y: xp.where(p >= y, 0.1, -0.9),
)
"""A user's loss whose slope is one of two numbers that float32 would round."""


@lru_cache
def problem(rows: int, features: int, dtype: str, loss: Loss) -> Problem:
    return generate(rows, features, dtype, loss=loss)


def start(features: int) -> np.ndarray:
    """Return weights of shape (d,), far from 0 but so small that exp does not overflow."""
    return np.random.default_rng(1).uniform(0.05, 0.15, features)


def gradient(loss: Loss, data: Problem, w: np.ndarray) -> np.ndarray:
    """Return the sums ``xᵀ·slope``, of shape (d,), computed in float64."""
    assert loss.slope is not None
    x, y = data.x.reshape(data.rows, -1).astype(np.float64), data.y.astype(np.float64)
    return np.asarray(loss.slope(np, x @ w, y) @ x)


def mean(loss: Loss, data: Problem, w: np.ndarray) -> float:
    """Return the mean loss, computed in float64."""
    x, y = data.x.reshape(data.rows, -1).astype(np.float64), data.y.astype(np.float64)
    return float(loss.value(np, x @ w, y).mean())


def descended(loss: Loss, data: Problem, w: np.ndarray, steps: int) -> np.ndarray:
    """Return w after some steps in float64, with products of whole arrays."""
    w = w.copy()
    for _ in range(steps):
        w -= RATE * loss.scale / data.rows * gradient(loss, data, w)
    return w


def check(placed: Descent, loss: Loss, data: Problem, w: np.ndarray, steps: int = 10) -> None:
    """Compare w, the gradient and the loss of a backend with float64 results.

    The gradient and the loss are compared twice: at `w`, and at w times the factor in `BEYOND`.
    """
    accuracy = TOLERANCE[data.dtype]
    assert relative_error(placed.run(w, steps), descended(loss, data, w, steps)) <= accuracy
    for at in (w, BEYOND.get(loss.name.partition("-")[0], -1.0) * w):
        assert relative_error(placed.gradient(at), gradient(loss, data, at)) <= accuracy
        assert placed.loss(at) == pytest.approx(mean(loss, data, at), rel=10 * accuracy)


def check_loss(backend: str, loss: Loss, dtype: str, features: int, rows: int = 1009) -> None:
    data = problem(rows, features, dtype, loss)
    check(open_backend(backend).place(data, RATE), loss, data, start(features))


def check_far_predictions(backend: str, loss: Loss, dtype: str, features: int) -> None:
    """Check that slopes and losses stay finite and correct for predictions up to ±10⁴."""
    x = np.zeros((1009, features), dtype)
    x[:, 0] = np.linspace(-1e4, 1e4, 1009)
    data = Problem(x, (np.arange(1009) % 2).astype(dtype), loss=loss)
    w = np.eye(features)[0]
    placed = open_backend(backend).place(data, RATE)
    assert relative_error(placed.gradient(w), gradient(loss, data, w)) <= TOLERANCE[dtype]
    assert placed.loss(w) == pytest.approx(mean(loss, data, w), rel=10 * TOLERANCE[dtype])
    assert np.isfinite(placed.run(w, 1)).all()


def check_value_only(backend: str, dtype: str) -> None:
    data = problem(1009, 3, dtype, VALUE_ONLY)
    check(open_backend(backend).place(data, RATE), WITH_SLOPE, data, start(3))


def check_quantile(backend: str, dtype: str, features: int) -> None:
    data = problem(1009, features, dtype, QUANTILE)
    check(open_backend(backend).place(data, RATE), QUANTILE, data, start(features))


def check_refusal(backend: str, loss: Loss, says: str) -> None:
    data = problem(10, 1, "float32", loss)
    with pytest.raises(BackendError, match=says) as caught:
        open_backend(backend).place(data, RATE)
    assert "\n" not in str(caught.value)
