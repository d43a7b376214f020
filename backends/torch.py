"""PyTorch: autograd's ``backward``, and what its compiler makes of it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.interface import Place, Weights
from backends.problem import Array, Problem


def mean_squared_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The loss, in the data's dtype; w is cast, so its gradient is float64."""
    w = w.to(x.dtype)
    residual = (x * w if x.ndim == 1 else x @ w) - y
    return residual.square().mean()


class Autograd:
    """The tutorial's listing: forward, ``backward``, update without tracking, zero."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        x = problem.x[:, 0] if problem.x.ndim == 2 and problem.features == 1 else problem.x
        self.device = torch.device(device)
        self.x, self.y = self._place(x), self._place(problem.y)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.learning_rate = learning_rate

    def _place(self, values: Array) -> Tensor:
        with warnings.catch_warnings():
            # A read-only array is shared, not copied: nothing here writes to it.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _start(self, w: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(w), dtype=torch.float64, device=self.device)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w).requires_grad_()
        for _ in range(steps):
            loss = mean_squared_error(weights, self.x, self.y)
            loss.backward()
            with torch.no_grad():
                weights -= self.learning_rate * weights.grad
            weights.grad.zero_()
        return _to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        weights = self._start(w).requires_grad_()
        mean_squared_error(weights, self.x, self.y).backward()
        return len(self.y) / 2 * _to_host(weights.grad)

    def loss(self, w: ArrayLike) -> float:
        with torch.no_grad():
            return float(mean_squared_error(self._start(w), self.x, self.y))


def _to_host(w: Tensor) -> Weights:
    """The copy to the host waits for the device."""
    return w.detach().cpu().numpy()
