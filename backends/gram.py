"""Gradient descent over XᵀX and Xᵀy, which replace the rows for squared error.

Each library computes only the sums. The steps, which cost O(d²), and the loss are written here
for all libraries. A library has its own loop of steps where a measurement showed that loop to
be faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.problem import Array, Problem

Moments = tuple[Weights, Weights, float]
"""``XᵀX``, (d, d), ``Xᵀy``, (d,), and ``yᵀy``, float64; moments of parts of the rows add up."""

Sums = tuple[Weights, float]
"""``Xᵀ(y − X·w)``, (d,), and ``Σ(y − X·w)²``, float64."""

LEAST_SHARE = 1e-8
"""Smallest ratio of a loss to the expansion's terms, whose difference the loss is. The terms'
rounding errors of about 1e-14 then leave the loss five correct digits or more."""

LEAST_SHARE_OF_A_LINE = 5e-4
"""Smallest ratio for one float32 feature. NumPy sums pieces of such rows in float32, with
measured errors of up to 6e-9; the loss keeps five correct digits, too."""

BLOCK_BYTES = 1 << 20
"""Size in bytes of a float64 copy of some rows: small enough for a second-level cache."""


class GramDescent(ABC):
    """A descent over sums that replace the rows.

    The loss is a quadratic function of w. The sums give its expansion about a point, at first w
    = 0. If the loss is much smaller than the expansion's terms, the terms cancel. The rows are
    then read again, and the expansion is moved to the requested w. A loss is therefore never
    negative, and its relative error is small.

    Parameters
    ----------
    moments : Moments
        The sums over all rows.
    learning_rate : float
    rows : int
        Number of rows.
    dtype : str
        The data's dtype; the errors of the sums depend on it.
    """

    def __init__(self, moments: Moments, learning_rate: float, rows: int, dtype: str) -> None:
        self.xtx, self.xty, self.yty = moments
        self.count, self.rate = rows, 2 * learning_rate / rows
        line = len(self.xty) == 1 and dtype == "float32"
        self.least_share = LEAST_SHARE_OF_A_LINE if line else LEAST_SHARE
        self._about: tuple[Weights, Sums] = np.zeros(len(self.xty)), (self.xty, self.yty)

    @abstractmethod
    def residual_sums(self, w: Weights) -> Sums:
        """Return the sums of the residuals at w, from another pass over the rows."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        if len(w) == 1:  # Python's own floats are far faster than arrays of one value
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
        """Return the sums that replace the rows."""
        return self.xtx, self.xty, self.yty

    def gradient(self, w: ArrayLike) -> Weights:
        return np.asarray(self.xtx @ np.asarray(w, dtype=np.float64) - self.xty)

    def loss(self, w: ArrayLike) -> float:
        w = np.array(w, dtype=np.float64)
        squares, terms = self._expanded(w)
        if squares < self.least_share * terms:  # false where an overflow made one of them NaN
            self._about = w, self.residual_sums(w)
            squares = self._about[1][1]
        return squares / self.count

    def _expanded(self, w: Weights) -> tuple[float, float]:
        """Return ``Σ(y − X·w)²``, and the sum of the absolute values of its terms."""
        point, (slope, squares) = self._about
        apart = w - point
        total = squares - 2 * slope @ apart + apart @ self.xtx @ apart
        sizes = np.abs(apart)
        terms = squares + 2 * np.abs(slope) @ sizes + sizes @ np.abs(self.xtx) @ sizes
        return float(total), float(terms)


def residual_sums(x: Array, y: Array, w: Weights) -> Sums:
    """Return ``Xᵀ(y − X·w)`` and ``Σ(y − X·w)²`` of these rows, in float64 throughout."""
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
    """A descent over the sums of a problem's rows; the rows are kept for small losses."""

    def __init__(self, problem: Problem, learning_rate: float, moments: Moments) -> None:
        super().__init__(moments, learning_rate, problem.rows, problem.dtype)
        self.problem = problem

    def residual_sums(self, w: Weights) -> Sums:
        return residual_sums(self.problem.x, self.problem.y, w)
