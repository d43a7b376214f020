"""Numba's plain technique: simple loops over rows and features, in float64."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.numba.pointwise import Pointwise, evaluate, slope_of
from backends.problem import Array, Problem


@njit(cache=True, nogil=True)
def descent(x, y, w, rate, steps, slope):
    """Return w after `steps` steps. The sums over the rows are float64."""
    for _ in range(steps):
        gradient = sums(x, y, w, slope)
        for j in range(len(w)):
            w[j] -= rate * gradient[j]
    return w


@njit(cache=True, nogil=True)
def sums(x, y, w, slope):
    """Return the gradient ``Σ slope(xᵢ·w, yᵢ)·xᵢ`` in float64.

    `slope` is the derivative of a row's loss with respect to the prediction.
    """
    n, d = x.shape
    gradient = np.zeros(d)
    for i in range(n):
        prediction = 0.0
        for j in range(d):
            prediction += x[i, j] * w[j]
        factor = evaluate(slope, prediction, np.float64(y[i]))
        for j in range(d):
            gradient[j] += x[i, j] * factor
    return gradient


@njit(cache=True, nogil=True)
def mean(x, y, w, value):
    """Return the mean loss of all rows in float64; `value` computes the loss of a row."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        prediction = 0.0
        for j in range(d):
            prediction += x[i, j] * w[j]
        total += evaluate(value, prediction, np.float64(y[i]))
    return total / n


class Plain:
    """The technique `numba`: one thread computes the gradient row by row, in float64."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        x = np.ascontiguousarray(problem.x).reshape(problem.rows, problem.features)
        self.x, self.y = read_only(x), read_only(np.ascontiguousarray(problem.y))
        loss = problem.loss
        self.rate = loss.scale * learning_rate / problem.rows
        self.slope, self.value = Pointwise(slope_of(loss)), Pointwise(loss.value)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        result: Weights = descent(self.x, self.y, start(w), self.rate, steps, self.slope)
        return result

    def gradient(self, w: ArrayLike) -> Weights:
        result: Weights = sums(self.x, self.y, start(w), self.slope)
        return result

    def loss(self, w: ArrayLike) -> float:
        return float(mean(self.x, self.y, start(w), self.value))


def read_only(values: Array) -> Array:
    """Return a read-only view, so that Numba compiles for one kind of array only."""
    view = values.view()
    view.flags.writeable = False
    return view


def start(w: ArrayLike) -> Weights:
    """Return a float64 copy of the weights; a compiled loop can change this copy."""
    return np.array(w, dtype=np.float64)
