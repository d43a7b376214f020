"""Descend with PyTorch's autograd, which derives the gradient from the loss."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.problem import Array, Problem
from backends.torch.namespace import values_of


def predictions(w: Tensor, x: Tensor) -> Tensor:
    """Return ``x·w`` in the data's dtype.

    w is a float64 tensor. This function converts w to the data's dtype, and autograd converts
    the gradient to float64.
    """
    w = w.to(x.dtype)
    return x * w if x.ndim == 1 else x @ w


class Autograd:
    """Descent with autograd: each step computes the loss, calls ``backward``, and updates w.

    On the CPU, data with several features are split into chunks of rows. PyTorch sums the
    gradient of a chunk in the data's dtype, and the gradients of all chunks in float64. Without
    chunks, the fifth digit of w would be wrong at 10⁶ float32 rows.
    """

    CHUNK_ROWS = 1 << 16
    """Number of rows in a chunk. The sums of longer float32 chunks would lose digits."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = torch.device(device)
        self.x, self.y = self._place(problem.x), self._place(problem.y)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.learning_rate = learning_rate
        self.row_loss, self.values = problem.loss, values_of(problem.loss)
        whole = self.x.ndim == 1 or self.device.type != "cpu"
        self.chunks = self.split(len(self.y) if whole else self.CHUNK_ROWS)

    def _place(self, values: Array) -> Tensor:
        with warnings.catch_warnings():
            # PyTorch warns about a read-only array, but nothing writes to it here.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def split(self, rows: int) -> Chunks:
        """Return the data in chunks of `rows` rows, without a copy."""
        return list(zip(self.x.split(rows), self.y.split(rows), strict=True))

    def _start(self, w: ArrayLike) -> Tensor:
        return torch.tensor(np.asarray(w), dtype=torch.float64, device=self.device)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w).requires_grad_()
        weights.grad = torch.zeros_like(weights)
        for _ in range(steps):
            for x, y in self.chunks:
                loss = self._summed(weights, x, y) / len(self.y)
                loss.backward()
            with torch.no_grad():
                weights -= self.learning_rate * weights.grad
            weights.grad.zero_()
        return to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        weights = self._start(w).requires_grad_()
        weights.grad = torch.zeros_like(weights)
        for x, y in self.chunks:
            self._summed(weights, x, y).backward()
        return to_host(weights.grad) / self.row_loss.scale

    def loss(self, w: ArrayLike) -> float:
        weights = self._start(w)
        with torch.inference_mode():
            sums = [self._summed(weights, x, y) for x, y in self.chunks]
            return float(torch.stack(sums).sum(dtype=torch.float64)) / len(self.y)

    def _summed(self, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return self.values(predictions(w, x), y).sum()


def to_host(w: Tensor) -> Weights:
    """Wait until the device has computed w, and return w as an array in host memory."""
    return w.detach().cpu().numpy()


Chunks = list[tuple[Tensor, Tensor]]
"""Chunks of m rows each: x of shape (m,) or (m, d), and y of shape (m,)."""
