"""The gradient derived by hand, over chunks of rows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial, reduce
from importlib.util import find_spec

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.problem import Problem
from backends.threads import in_threads, torch_alone
from backends.torch.autograd import Autograd, to_host
from backends.torch.threads import in_shares, single_threaded


class Analytic(Autograd):
    """The gradient derived by hand, over chunks that stay in cache.

    On the CPU one feature is element-wise work, which PyTorch shares among its
    threads where it is long. Several are products along a short axis, which it
    does not: there each thread takes a share of the chunks. Few features are
    laid out by column, because a product along short rows is all overhead. Long
    rows from memory are copied to the cache before they are multiplied: MKL's product
    reads several of them side by side, which the hardware does not follow.
    """

    LINE_ROWS = 1 << 18
    CHUNK_BYTES = 1 << 21
    MOST_COLUMNS = 16
    LONG_BYTES, FAR_BYTES = 512, 1 << 25

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.shares, copied = [self.chunks], False
        if self.device.type == "cpu" and self.x.ndim == 1:
            self.shares = [self.split(self.LINE_ROWS)]
        elif self.device.type == "cpu":
            a_row = problem.features * self.x.itemsize
            copied = a_row >= self.LONG_BYTES and problem.bytes_per_step >= self.FAR_BYTES
            chunks = self.split(max(64, self.CHUNK_BYTES // a_row))
            if problem.features <= self.MOST_COLUMNS:
                chunks = [(x.T.contiguous().T, y) for x, y in chunks]
            self.shares = in_shares(chunks)
        self.residuals = [torch.empty_like(chunks[0][1]) for chunks in self.shares]
        self.copies = [torch.empty_like(chunks[0][0]) for chunks in self.shares if copied]

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        scale = 2 * self.learning_rate / len(self.y)
        with torch.inference_mode(), self._threads():
            for _ in range(steps):
                weights.sub_(self._sums(weights), alpha=scale)
        return to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode(), self._threads():
            return to_host(self._sums(self._start(w)))

    def _threads(self) -> AbstractContextManager[None]:
        """Leave threads to PyTorch where it shares the work, and else take it from it."""
        ours = self.device.type == "cpu" and self.x.ndim > 1
        return torch_alone() if ours else nullcontext()

    def _sums(self, w: Tensor) -> Tensor:
        cast = w.to(self.x.dtype)
        if len(self.shares) == 1:
            return self._sums_of(cast, 0)
        sums_of = torch.inference_mode()(partial(self._sums_of, cast))  # a thread's own mode
        return reduce(torch.add, in_threads(sums_of, range(len(self.shares)), single_threaded))

    def _sums_of(self, w: Tensor, share: int) -> Tensor:
        """Return ``xᵀ(x·w − y)`` over a share of the chunks, float64."""
        total = torch.zeros(len(w), dtype=torch.float64, device=self.device)
        for x, y in self.shares[share]:
            negative = self.residuals[share][: len(y)]  # y − x·w
            if self.copies:
                x = self.copies[share][: len(y)].copy_(x)
            if x.ndim == 1:
                torch.addcmul(y, x, w, value=-1, out=negative)
                total -= torch.dot(negative, x)
            else:
                torch.addmv(y, x, w, alpha=-1, out=negative)
                total -= torch.mv(x.T, negative)
        return total


def by_hand(problem: Problem, learning_rate: float, device: str) -> Autograd:
    """Place the data for the gradient derived by hand, as the device takes it best."""
    if torch.device(device).type == "cuda" and find_spec("triton"):
        from backends.torch.onepass import MOST_FEATURES, OnePass

        if problem.features <= MOST_FEATURES:
            return OnePass(problem, learning_rate, device)
    return Analytic(problem, learning_rate, device)
