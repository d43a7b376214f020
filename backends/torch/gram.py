"""XᵀX and Xᵀy, then steps over them."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.problem import Problem
from backends.torch.autograd import Autograd, Chunks, to_host
from backends.torch.threads import in_shares, single_threaded

FEW_COLUMNS = 8
"""Most features whose products are summed column by column in `gram_of`."""


def gram_of(x: Tensor, y: Tensor, scratch: Tensor) -> Tensor:
    """Return the Gram matrix of x, (n, d), with y as one more column, in scratch's dtype.

    `scratch` holds n·(d + 1) values. A few columns are multiplied one by one: a
    product of matrices, made for large ones, is four times slower at d = 1.
    """
    n, d = x.shape
    products = scratch.new_empty((d + 1, d + 1))
    if d > FEW_COLUMNS:  # y on its own: rows of an odd length are slower
        rows, targets = scratch[: n * d].view(n, d), scratch[n * d :]
        rows[:], targets[:] = x, y
        products[:-1, :-1] = rows.T @ rows
        products[-1, :-1] = products[:-1, -1] = targets @ rows
        products[-1, -1] = targets @ targets
        return products
    columns = scratch.view(d + 1, n)
    columns[:-1], columns[-1] = x.T, y
    for j in range(d + 1):
        products[j, : j + 1] = products[: j + 1, j] = columns[: j + 1] @ columns[j]
    return products


class Gram(Autograd):
    """One pass for XᵀX and Xᵀy in float64, then steps that cost O(d²); least squares only."""

    LINE_BYTES = 1 << 22
    CHUNK_BYTES = 1 << 20

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        if self.device.type == "cpu":
            few = problem.features <= FEW_COLUMNS
            limit = self.LINE_BYTES if few else self.CHUNK_BYTES
            shares = in_shares(self._split(max(64, limit // (8 * (problem.features + 1)))))
            parts = single_threaded(len(shares)).map(self._products, shares)
            sums = torch.stack(list(parts)).sum(0)
        else:
            sums = self._products(self._split(1 << 20))
        self.xtx, self.xty = sums[:-1, :-1].contiguous(), sums[:-1, -1].contiguous()
        self.yty = float(sums[-1, -1])
        del self.x, self.chunks  # the sums are all that a step needs

    @torch.inference_mode()
    def _products(self, chunks: Chunks) -> Tensor:
        """Return the Gram matrix of some chunks with y as one more column, float64."""
        d = 1 if self.x.ndim == 1 else self.x.shape[1]
        sums = torch.zeros((d + 1, d + 1), dtype=torch.float64, device=self.device)
        buffer = sums.new_empty(len(chunks[0][1]) * (d + 1))
        for x, y in chunks:
            scratch = buffer[: len(y) * (d + 1)]
            sums += gram_of(x.reshape(len(y), d), y, scratch)
        return sums

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        rate = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode():
            offset = rate * self.xty
            for _ in range(steps):
                weights = torch.addmv(weights + offset, self.xtx, weights, alpha=-rate)
        return to_host(weights)

    def moments(self) -> tuple[Weights, Weights, float]:
        return to_host(self.xtx), to_host(self.xty), self.yty

    def gradient(self, w: ArrayLike) -> Weights:
        return to_host(torch.addmv(self.xty, self.xtx, self._start(w), beta=-1))

    def loss(self, w: ArrayLike) -> float:
        weights = self._start(w)
        squares = weights @ self.xtx @ weights - 2 * self.xty @ weights + self.yty
        return float(squares) / len(self.y)
