"""Gradient descent for squared error with XᵀX and Xᵀy in place of the rows.

Each library only computes XᵀX, Xᵀy and yᵀy. This module takes the steps, which cost O(d²) each
for d features, and computes the loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.problem import Array, Problem

Moments = tuple[Weights, Weights, float]
"""``XᵀX`` of shape (d, d), ``Xᵀy`` of shape (d,), and the number ``yᵀy``, all in float64.
Moments of separate parts of the rows can be added."""

Sums = tuple[Weights, float]
"""``Xᵀ(y − X·w)`` of shape (d,), and the number ``Σ(y − X·w)²``, both in float64."""

LEAST_SHARE = 1e-8
"""Limit below which `GramDescent` computes a loss from the rows instead of XᵀX and Xᵀy. The
loss from XᵀX and Xᵀy is a sum of positive and negative terms. The limit is a fraction of the
sum of these terms' absolute values. At the limit, the loss has about five correct digits."""

LEAST_SHARE_OF_A_LINE = 5e-4
"""Limit in place of `LEAST_SHARE` for float32 data with one feature. This limit is
higher than `LEAST_SHARE`, because NumPy sums short pieces of these data in float32."""

BLOCK_BYTES = 1 << 20
"""Largest size in bytes of a copy of rows in float64: 1 MiB fits in a second-level cache."""


class GramDescent(ABC):
    """A descent for squared error with the sums XᵀX, Xᵀy and yᵀy in place of the rows.

    The loss at w is computed from the sums, as a quadratic function of the difference between w
    and a fixed point. The fixed point is 0 at first. Where the terms of the quadratic function
    almost cancel, the result is inexact. In that case, the loss is computed from the rows, and
    w becomes the new fixed point.

    Parameters
    ----------
    moments : Moments
        The sums over all rows.
    learning_rate : float
    rows : int
        Number of rows.
    dtype : str
        The data's dtype. The rounding errors of a loss depend on the dtype.
    """

    def __init__(self, moments: Moments, learning_rate: float, rows: int, dtype: str) -> None:
        self.xtx, self.xty, self.yty = moments
        self.count, self.rate = rows, 2 * learning_rate / rows
        line = len(self.xty) == 1 and dtype == "float32"
        self.least_share = LEAST_SHARE_OF_A_LINE if line else LEAST_SHARE
        self._about: tuple[Weights, Sums] = np.zeros(len(self.xty)), (self.xty, self.yty)

    @abstractmethod
    def residual_sums(self, w: Weights) -> Sums:
        """Read all rows, and return ``Xᵀ(y − X·w)`` and ``Σ(y − X·w)²`` for the weights `w`."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        if len(w) == 1:  # Python floats are far faster than arrays with one value
            only, xx, xy = float(w[0]), self.rate * self.xtx.item(), self.rate * self.xty.item()
            for _ in range(steps):
                only -= xx * only - xy
            return np.array([only])
        matrix, vector = self.rate * self.xtx, self.rate * self.xty
        step = np.empty_like(w)
        for _ in range(steps):
            np.dot(matrix, w, out=step)
            step -= vector
            w -= step
        return w

    def moments(self) -> Moments:
        """Return XᵀX, Xᵀy and yᵀy."""
        return self.xtx, self.xty, self.yty

    def gradient(self, w: ArrayLike) -> Weights:
        return np.asarray(self.xtx @ np.asarray(w, dtype=np.float64) - self.xty)

    def loss(self, w: ArrayLike) -> float:
        w = np.array(w, dtype=np.float64)
        squares, terms = self._expanded(w)
        if squares < self.least_share * terms:  # false if an overflow made either side NaN
            self._about = w, self.residual_sums(w)
            squares = self._about[1][1]
        return squares / self.count

    def _expanded(self, w: Weights) -> tuple[float, float]:
        """Compute ``Σ(y − X·w)²`` from XᵀX and the fixed point's `Sums` (see the class).

        The result is a sum of positive and negative terms. The sum of these terms' absolute
        values is also returned.
        """
        point, (slope, squares) = self._about
        apart = w - point
        total = squares - 2 * slope @ apart + apart @ self.xtx @ apart
        sizes = np.abs(apart)
        terms = squares + 2 * np.abs(slope) @ sizes + sizes @ np.abs(self.xtx) @ sizes
        return float(total), float(terms)


def residual_sums(x: Array, y: Array, w: Weights) -> Sums:
    """Return ``Xᵀ(y − X·w)`` and ``Σ(y − X·w)²`` of the rows, computed in float64."""
    x = x.reshape(len(y), -1)
    length = max(1, BLOCK_BYTES // (8 * x.shape[1]))
    slope, squares = np.zeros(len(w)), 0.0
    for start in range(0, len(y), length):
        part = x[start : start + length].astype(np.float64)
        residual = y[start : start + length] - part @ w
        slope += residual @ part
        squares += float(residual @ residual)
    return slope, squares


class ProblemGram(GramDescent):
    """A `GramDescent` for a problem whose rows are in memory."""

    def __init__(self, problem: Problem, learning_rate: float, moments: Moments) -> None:
        super().__init__(moments, learning_rate, problem.rows, problem.dtype)
        self.problem = problem

    def residual_sums(self, w: Weights) -> Sums:
        return residual_sums(self.problem.x, self.problem.y, w)
