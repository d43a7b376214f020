"""Descend with NumPy on whole arrays, with a gradient derived by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.losses import SQUARED_ERROR
from backends.numpy.slopes import slopes_of
from backends.problem import Array, Problem


class Plain:
    """Descent on whole arrays: each step predicts, computes the gradient, and updates w.

    With several features, ``xᵀ @ slope`` over all rows would be one long sum in the data's
    dtype, which loses digits in float32. The product is therefore computed for chunks of rows,
    and the chunks' sums are added in float64.
    """

    CHUNK_ROWS = 1 << 16
    """Number of rows in a chunk. The sums of longer float32 chunks would lose digits."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.x = np.ascontiguousarray(problem.x)
        self.y = np.ascontiguousarray(problem.y)
        self.learning_rate, self.row_loss = learning_rate, problem.loss
        self.slope, self.scale = slopes_of(problem.loss), problem.loss.scale
        self.squared = problem.loss == SQUARED_ERROR

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self._gradient_of_loss(w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        scale = len(self.y) / self.scale
        return np.atleast_1d(scale * self._gradient_of_loss(np.asarray(w, dtype=np.float64)))

    def loss(self, w: ArrayLike) -> float:
        prediction = self._prediction(np.asarray(w, dtype=np.float64))
        values = self.row_loss.value(np, prediction, self.y)
        return float(np.mean(values, dtype=np.float64))

    def _prediction(self, w: Weights) -> Array:
        w32 = w.astype(self.x.dtype)  # float32 data times a float64 w would give float64
        return self.x * w32 if self.x.ndim == 1 else self.x @ w32

    def _slope(self, w: Weights) -> Array:
        """Return the slope of each row, without the loss's constant factor `scale`."""
        if self.squared:  # in a single expression, NumPy reuses the temporary array
            w32 = w.astype(self.x.dtype)
            return (self.x * w32 if self.x.ndim == 1 else self.x @ w32) - self.y
        return self.slope(self._prediction(w), self.y)

    def _gradient_of_loss(self, w: Weights) -> Weights:
        slope = self._slope(w)
        if self.x.ndim == 1:
            return np.asarray(np.mean(self.scale * self.x * slope, dtype=np.float64))
        total = np.zeros(len(w))
        for start in range(0, len(self.y), self.CHUNK_ROWS):
            rows = slice(start, start + self.CHUNK_ROWS)
            total += self.x[rows].T @ slope[rows]
        return self.scale / len(self.y) * total
