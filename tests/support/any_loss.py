"""A short backend for tests that works for every loss with a slope."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from backends.problem import Problem


class BySlope:
    """Full-batch descent in float64, with the interface of a technique."""

    name = "numpy"

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        self.problem, self.rate = problem, learning_rate
        self.x = problem.x.reshape(problem.rows, -1).astype(np.float64)

    @classmethod
    def place(cls, problem: Problem, learning_rate: float) -> BySlope:
        return cls(problem, learning_rate)

    def run(self, w: ArrayLike, steps: int) -> np.ndarray:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.rate * self.problem.loss.scale / self.problem.rows * self.gradient(w)
        return w

    def gradient(self, w: ArrayLike) -> np.ndarray:
        slope = self.problem.loss.slope
        assert slope is not None
        return slope(np, self.x @ np.asarray(w), self.problem.y.astype(np.float64)) @ self.x

    def loss(self, w: ArrayLike) -> float:
        y = self.problem.y.astype(np.float64)
        return float(np.mean(self.problem.loss.value(np, self.x @ np.asarray(w), y)))
