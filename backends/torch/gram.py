"""Sum XᵀX and Xᵀy with PyTorch, on the CPU or a GPU, and descend with these sums."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.gram import ProblemGram
from backends.problem import Problem
from backends.torch.autograd import Autograd, Chunks, to_host
from backends.torch.threads import in_shares, single_threaded

FEW_COLUMNS = 8
"""Largest number of features for which `gram_of` multiplies column by column."""


def gram_of(x: Tensor, y: Tensor, scratch: Tensor) -> Tensor:
    """Return the matrix ``AᵀA``, where A is x with y as an additional last column.

    x has the shape (n, d), and the result has the shape (d + 1, d + 1). `scratch` is a buffer
    for n·(d + 1) values, and the result has the dtype of this buffer. With at most
    `FEW_COLUMNS` features, each column of A is multiplied by itself and by the columns before
    it. With one feature, these products are four times as fast as a product of matrices.
    """
    n, d = x.shape
    products = scratch.new_empty((d + 1, d + 1))
    if d > FEW_COLUMNS:  # y is stored separately: rows of odd length are slower
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


class Gram(ProblemGram):
    """Descent for squared error: XᵀX and Xᵀy are computed once and then used in each step.

    A step costs O(d²), independently of the number of rows. On the CPU, NumPy takes the steps.
    With up to a few hundred features, NumPy is twice as fast as PyTorch. On a GPU, PyTorch
    takes the steps.
    """

    LINE_BYTES = 1 << 22
    """Size of a chunk in bytes after its conversion to float64, for data with at most
    `FEW_COLUMNS` features on the CPU."""

    CHUNK_BYTES = 1 << 20
    """Size of a chunk in bytes after its conversion to float64, for data with more than
    `FEW_COLUMNS` features on the CPU."""

    CUDA_ROWS = 1 << 20
    """Number of rows in a chunk on a GPU: enough to keep the GPU busy. The float64 copy of a
    chunk must fit in the GPU's memory."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        placed = Autograd(problem, learning_rate, device)
        if placed.device.type == "cpu":
            few = problem.features <= FEW_COLUMNS
            limit = self.LINE_BYTES if few else self.CHUNK_BYTES
            shares = in_shares(placed.split(max(64, limit // (8 * (problem.features + 1)))))
            threads = single_threaded(len(shares))
            calls = [threads.submit(products, share) for share in shares]
            sums = torch.stack([call.result() for call in calls]).sum(0)
        else:
            sums = products(placed.split(self.CUDA_ROWS))
        self.on_device = sums[:-1, :-1].contiguous(), sums[:-1, -1].contiguous()
        xtx, xty = map(to_host, self.on_device)
        super().__init__(problem, learning_rate, (xtx, xty, float(sums[-1, -1])))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        xtx, xty = self.on_device
        if xtx.device.type == "cpu":
            return super().run(w, steps)
        with torch.inference_mode():
            weights, offset = torch.tensor(np.asarray(w)).to(xtx), self.rate * xty
            for _ in range(steps):
                weights = torch.addmv(weights + offset, xtx, weights, alpha=-self.rate)
        return to_host(weights)


@torch.inference_mode()
def products(chunks: Chunks) -> Tensor:
    """Return the sum of the matrices that `gram_of` returns for the chunks, in float64."""
    first, targets = chunks[0]
    d = 1 if first.ndim == 1 else first.shape[1]
    sums = torch.zeros((d + 1, d + 1), dtype=torch.float64, device=first.device)
    buffer = sums.new_empty(len(targets) * (d + 1))
    for x, y in chunks:
        scratch = buffer[: len(y) * (d + 1)]
        sums += gram_of(x.reshape(len(y), d), y, scratch)
    return sums
