"""The gradient derived by hand, over chunks of rows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial, reduce

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.losses import SQUARED_ERROR
from backends.onepass import MOST_FEATURES, reason_against
from backends.problem import Problem
from backends.threads import in_threads, torch_alone
from backends.torch.autograd import Autograd, Chunks, to_host
from backends.torch.namespace import slopes_of
from backends.torch.threads import in_shares, single_threaded


class Analytic(Autograd):
    """The gradient of squared error derived by hand, over chunks that stay in cache.

    For one feature on the CPU, the work is element-wise, and PyTorch divides it among its
    threads. For several features, the work is products along a short axis, which PyTorch does
    not divide; instead, each of our threads sums a share of the chunks. Few features are stored
    by column, because products along short rows are slow. Long rows are copied from memory to
    the cache before they are multiplied: MKL's product reads several rows side by side, a
    pattern that the hardware does not prefetch.
    """

    LINE_ROWS = 1 << 18
    """Rows of a chunk of one feature: 1 MB of float32, which stays in a second-level cache."""

    CHUNK_BYTES = 1 << 21
    """Size in bytes of a chunk of several features: a chunk stays in a second-level cache."""

    MOST_COLUMNS = 16
    """Largest number of features that are stored by column."""

    LONG_BYTES, FAR_BYTES = 512, 1 << 25
    """Row size and data size in bytes; from both on, rows are copied to the cache first."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.shares, copied = [self.chunks], False
        if self.device.type == "cpu" and self.x.ndim == 1:
            self.shares = self._line()
        elif self.device.type == "cpu":
            a_row = problem.features * self.x.itemsize
            copied = a_row >= self.LONG_BYTES and problem.bytes_per_step >= self.FAR_BYTES
            chunks = self.split(max(64, self.CHUNK_BYTES // a_row))
            if problem.features <= self.MOST_COLUMNS:
                chunks = [(x.T.contiguous().T, y) for x, y in chunks]
            self.shares = in_shares(chunks)
        self.buffers = [torch.empty_like(chunks[0][1]) for chunks in self.shares]
        self.copies = [torch.empty_like(chunks[0][0]) for chunks in self.shares if copied]

    def _line(self) -> list[Chunks]:
        """Return the shares of one feature: a single one, whose work PyTorch divides."""
        return [self.split(self.LINE_ROWS)]

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        scale = self.row_loss.scale * self.learning_rate / len(self.y)
        with torch.inference_mode(), self._threads():
            for _ in range(steps):
                weights.sub_(self._sums(weights), alpha=scale)
        return to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode(), self._threads():
            return to_host(self._sums(self._start(w)))

    def _threads(self) -> AbstractContextManager[None]:
        """Limit PyTorch to one thread if our own threads divide the work."""
        return torch_alone() if len(self.shares) > 1 else nullcontext()

    def _sums(self, w: Tensor) -> Tensor:
        cast = w.to(self.x.dtype)
        if len(self.shares) == 1:
            return self._sums_of(cast, 0)
        sums_of = torch.inference_mode()(partial(self._sums_of, cast))  # set per thread
        return reduce(torch.add, in_threads(sums_of, range(len(self.shares)), single_threaded))

    def _sums_of(self, w: Tensor, share: int) -> Tensor:
        """Return ``xᵀ(x·w − y)`` over a share of the chunks, float64."""
        total = torch.zeros(len(w), dtype=torch.float64, device=self.device)
        for x, y in self.shares[share]:
            negative = self.buffers[share][: len(y)]  # y − x·w
            if self.copies:
                x = self.copies[share][: len(y)].copy_(x)
            if x.ndim == 1:
                torch.addcmul(y, x, w, value=-1, out=negative)
                total -= torch.dot(negative, x)
            else:
                torch.addmv(y, x, w, alpha=-1, out=negative)
                total -= torch.mv(x.T, negative)
        return total


class BySlope(Analytic):
    """The gradient for any loss: the slope is computed in place while a chunk is in cache.

    Each of our threads sums a share of the chunks, also for one feature: the slope of a loss
    takes several calls of PyTorch, and each call on all threads would wait for the slowest.
    """

    SLOPE_ROWS = 1 << 15
    """Largest number of rows in a chunk: the rows and their predictions stay in a second-level
    cache while PyTorch reads them several times."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.slopes = slopes_of(problem.loss)

    def _line(self) -> list[Chunks]:
        return in_shares(self.split(self.SLOPE_ROWS))

    def _sums_of(self, w: Tensor, share: int) -> Tensor:
        total = torch.zeros(len(w), dtype=torch.float64, device=self.device)
        for x, y in self.shares[share]:
            prediction = self.buffers[share][: len(y)]
            if self.copies:
                x = self.copies[share][: len(y)].copy_(x)
            if x.ndim == 1:
                slope = self.slopes(torch.mul(x, w, out=prediction), y)
                total += torch.dot(slope, x)
            else:
                slope = self.slopes(torch.mv(x, w, out=prediction), y)
                total += torch.mv(x.T, slope)
        return total


def by_hand(problem: Problem, learning_rate: float, device: str) -> Autograd:
    """Place the data for the hand-derived gradient; on a GPU in Triton if possible."""
    on_gpu, few = torch.device(device).type == "cuda", problem.features <= MOST_FEATURES
    if on_gpu and few and not reason_against(problem.loss):
        from backends.torch.onepass import OnePass

        return OnePass(problem, learning_rate, device)
    chunked = Analytic if problem.loss == SQUARED_ERROR else BySlope
    return chunked(problem, learning_rate, device)
