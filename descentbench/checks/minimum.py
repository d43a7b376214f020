"""Compute the minimum of a loss in float64, and how far the loss of a fit is above the minimum.

All models have an intercept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backends.losses import LOG_LOSS
from backends.problem import Problem

Float64 = NDArray[np.float64]

BLOCK_BYTES = 8 << 20
"""Size in bytes of a float64 block of rows: 8 MiB, little compared with the data."""

NEWTON_STEPS = 30
"""Limit for the number of Newton steps. About eight steps are usually enough."""

GRADIENT = 1e-13
"""Newton's method ends when the norm of the gradient is at most this fraction of the
gradient's norm at w = 0."""


@dataclass(frozen=True)
class Minimum:
    """The weights at which the loss of a problem is smallest, and the loss at these weights.

    The last of the `weights` is the intercept.
    """

    problem: Problem
    weights: Float64
    loss: float

    def excess(self, weights: Sequence[float]) -> float:
        """Return (loss at `weights` − minimum) ÷ minimum.

        For squared error, the numerator is computed from the difference of `weights` and the
        weights at the minimum. This is more accurate than subtracting two nearly equal losses.
        """
        w = np.asarray(weights, np.float64)
        if self.problem.loss == LOG_LOSS:
            return max(0.0, log_loss(self.problem, w) - self.loss) / self.loss
        apart = w - self.weights
        total = sum(float(np.sum((x @ apart) ** 2)) for x, _ in blocks(self.problem))
        return total / self.problem.rows / self.loss


def blocks(problem: Problem) -> Iterator[tuple[Float64, Float64]]:
    """Yield (x, y) in float64 for each block of rows, with a column of ones added to x."""
    size = max(1, BLOCK_BYTES // (8 * problem.features))
    x = problem.x.reshape(problem.rows, -1)
    for start in range(0, problem.rows, size):
        part = x[start : start + size].astype(np.float64)
        ones = np.ones((len(part), 1))
        yield np.hstack([part, ones]), problem.y[start : start + size].astype(np.float64)


def minimum(problem: Problem) -> Minimum:
    """Minimise squared error or log_loss; return the weights and the smallest loss."""
    if problem.loss == LOG_LOSS:
        return _newton(problem)
    width = problem.features + 1
    gram, moment = np.zeros((width, width)), np.zeros(width)
    for x, y in blocks(problem):
        gram += x.T @ x
        moment += x.T @ y
    w = np.asarray(np.linalg.solve(gram, moment), np.float64)
    residual = sum(float(np.sum((y - x @ w) ** 2)) for x, y in blocks(problem))
    return Minimum(problem, w, residual / problem.rows)


def log_loss(problem: Problem, w: Float64) -> float:
    """Return the mean logistic loss over all rows; the last value of `w` is the intercept."""
    total = 0.0
    for x, y in blocks(problem):
        p = x @ w
        total += float(np.sum(np.logaddexp(0.0, p) - y * p))
    return total / problem.rows


def _newton(problem: Problem) -> Minimum:
    """Minimise log_loss with Newton's method."""
    w = np.zeros(problem.features + 1)
    first = 0.0
    for _ in range(NEWTON_STEPS):
        gradient, hessian = np.zeros_like(w), np.zeros((len(w), len(w)))
        for x, y in blocks(problem):
            chance = 1 / (1 + np.exp(-(x @ w)))
            gradient += x.T @ (chance - y)
            hessian += (x.T * (chance * (1 - chance))) @ x
        first = first or float(np.linalg.norm(gradient))
        if np.linalg.norm(gradient) <= GRADIENT * first:
            break
        w -= np.linalg.solve(hessian, gradient)
    return Minimum(problem, w, log_loss(problem, w))
