"""NumPy: the gradient derived by hand."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from backends.interface import Place, Weights
from backends.problem import Array, Problem


class Plain:
    """The tutorial's listing: predict, derive the gradient by hand, update."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.x = np.ascontiguousarray(problem.x)
        self.y = np.ascontiguousarray(problem.y)
        self.learning_rate = learning_rate

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self._gradient_of_loss(w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        scale = len(self.y) / 2
        return np.atleast_1d(scale * self._gradient_of_loss(np.asarray(w, dtype=np.float64)))

    def loss(self, w: ArrayLike) -> float:
        residual = self._residual(np.asarray(w, dtype=np.float64))
        return float(np.mean(residual * residual, dtype=np.float64))

    def _residual(self, w: Weights) -> Array:
        w32 = w.astype(self.x.dtype)  # float32 data times a float64 w would be float64
        return (self.x * w32 if self.x.ndim == 1 else self.x @ w32) - self.y

    def _gradient_of_loss(self, w: Weights) -> Weights:
        residual = self._residual(w)
        if self.x.ndim == 1:
            return np.asarray(np.mean(2 * self.x * residual, dtype=np.float64))
        return np.asarray(2 / len(self.y) * (self.x.T @ residual), dtype=np.float64)


class Blocked(Plain):
    """The same sums over blocks of rows that stay in cache, without temporaries.

    A block's residual is written in place and used at once; the sums of a
    block are BLAS products in the data's dtype, those over blocks float64.
    """

    BLOCK_BYTES = 1 << 16

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        row_bytes = problem.features * self.x.itemsize
        self.rows = max(64, self.BLOCK_BYTES // row_bytes)
        self.residual = np.empty(min(self.rows, problem.rows), self.x.dtype)

    def _gradient_of_loss(self, w: Weights) -> Weights:
        return 2 / len(self.y) * self.gradient(w)

    def gradient(self, w: ArrayLike) -> Weights:
        w = np.asarray(w, dtype=np.float64)
        cast = w.astype(self.x.dtype)
        total = np.zeros_like(w)
        for start in range(0, len(self.y), self.rows):
            xb, yb = self.x[start : start + self.rows], self.y[start : start + self.rows]
            residual = self.residual[: len(yb)]
            if xb.ndim == 1:
                np.multiply(xb, cast[0], out=residual)
            else:
                np.matmul(xb, cast, out=residual)
            residual -= yb
            total += residual @ xb
        return total


TECHNIQUES: Mapping[str, Place] = {"": Plain, "blocked": Blocked}


def devices(technique: str) -> Mapping[str, str]:
    """NumPy has the CPU."""
    return {"cpu": ""}


def peak_device_bytes(device: str) -> int | None:
    """The host's memory is the process's own."""
    return None
