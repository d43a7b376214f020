"""The gradient derived by hand, over chunks of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial, reduce
from operator import add
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends import longrows, tuning
from backends.errors import Weights
from backends.losses import SQUARED_ERROR
from backends.onepass import MOST_FEATURES, reason_against
from backends.problem import Problem
from backends.threads import in_threads, torch_alone
from backends.torch.autograd import Autograd, Chunks, to_host
from backends.torch.namespace import Pointwise, slopes_of
from backends.torch.threads import in_shares, single_threaded

TRIED_CHUNKS = tuple(1 << k for k in range(16, 24))
"""Sizes of a chunk of X, in bytes, that a trial compares: 64 kB to 8 MB."""

TRIED_COLUMNS = 64
"""Largest number of features for which a trial compares the layouts of data in a cache."""

BY_ROW, BY_COLUMN, COPIED = range(3)
"""Layouts: rows as they are, stored by column, or copied to the cache before each product."""

Part = TypeVar("Part", Tensor, float)


class Chunk(NamedTuple):
    """A chunk of rows, and the buffer for its predictions.

    The views are made once: with few rows, making a view takes as long as a product.
    """

    x: Tensor
    across: Tensor
    """The transposed view of x."""
    y: Tensor
    p: Tensor
    """Buffer for the predictions; all chunks of a share use the same memory."""
    copied_from: Tensor | None
    """Rows that are copied to x before they are multiplied; None if x itself holds the rows."""


class Sums:
    """Chunks of rows, divided into shares, and the sums ``xᵀ·slope`` over all chunks.

    Parameters
    ----------
    shares : list of Chunks
        The chunks of each of our threads. A single share is summed by PyTorch's own threads.
    slopes : callable, optional
        ``slopes(p, y)`` returns the slope of each row; None for squared error.
    copied : bool
        Whether rows are copied to the cache before they are multiplied.

    Attributes
    ----------
    sign : float
        Factor of the sums. It is −1 for squared error, because PyTorch computes ``y − x·w``
        with one call less than ``x·w − y``.
    """

    def __init__(self, shares: list[Chunks], slopes: Pointwise | None, copied: bool) -> None:
        self.slopes, self.sign = slopes, -1.0 if slopes is None else 1.0
        self.shares = [self._with_buffers(chunks, copied) for chunks in shares]
        x = shares[0][0][0]
        self.cast = x.new_empty(1 if x.ndim == 1 else x.shape[1])

    @staticmethod
    def _with_buffers(chunks: Chunks, copied: bool) -> list[Chunk]:
        first, targets = chunks[0]
        p, room = torch.empty_like(targets), torch.empty_like(first) if copied else None
        made = []
        for x, y in chunks:
            used = x if room is None else room[: len(y)]
            across = used if used.ndim == 1 else used.T
            made.append(Chunk(used, across, y, p[: len(y)], x if copied else None))
        return made

    @contextmanager
    def running(self) -> Iterator[None]:
        """Turn autograd off; limit PyTorch to one thread if our own threads share the work."""
        with torch.inference_mode(), torch_alone() if len(self.shares) > 1 else nullcontext():
            yield

    def descend(self, w: Tensor, scale: float, steps: int) -> None:
        """Take `steps` steps, each of which subtracts `scale` times the sums from w."""
        for _ in range(steps):
            w.sub_(self.of(w), alpha=scale)

    def of(self, w: Tensor) -> Tensor:
        """Return `sign` times ``xᵀ·slope`` over all shares.

        The result is float64, or has the data's dtype if there is a single chunk.
        """
        self.cast.copy_(w)
        return self._over_shares(self._share)

    def _over_shares(self, part: Callable[[list[Chunk]], Part]) -> Part:
        """Return the sum of ``part(share)`` over the shares; each share has its own thread."""
        if len(self.shares) == 1:
            return part(self.shares[0])
        part = torch.inference_mode()(part)  # each thread has its own mode
        return reduce(add, in_threads(part, self.shares, single_threaded))

    def _share(self, chunks: list[Chunk]) -> Tensor:
        first, *others = chunks
        total = self._chunk(first)
        if others:
            total = total.double()
        for chunk in others:
            total += self._chunk(chunk)
        return total

    def _chunk(self, chunk: Chunk) -> Tensor:
        x, across, y, p, copied_from = chunk
        if copied_from is not None:
            x.copy_(copied_from)
        w, line = self.cast, x.ndim == 1
        if self.slopes is not None:
            p = self.slopes(torch.mul(x, w, out=p) if line else torch.mv(x, w, out=p), y)
        elif line:
            torch.addcmul(y, x, w, value=-1, out=p)
        else:
            torch.addmv(y, x, w, alpha=-1, out=p)
        return torch.dot(p, x) if line else torch.mv(across, p)


class LineSums(Sums):
    """The sums over one feature on the CPU: w and the sums are Python numbers.

    A Python number can be a factor in PyTorch's call for a sum. A tensor would need a call that
    casts it and a call that adds to it. Each call takes as long as the arithmetic of a few
    thousand rows.
    """

    def __init__(self, shares: list[Chunks], slopes: Pointwise | None, copied: bool) -> None:
        super().__init__(shares, slopes, copied)
        self.largest = torch.finfo(self.cast.dtype).max

    def descend(self, w: Tensor, scale: float, steps: int) -> None:
        weight = w.item()
        for _ in range(steps):
            weight -= scale * self._total(weight)
        w.fill_(weight)

    def of(self, w: Tensor) -> Tensor:
        return w.new_tensor([self._total(w.item())])

    def _total(self, w: float) -> float:
        if not -self.largest <= w <= self.largest:  # PyTorch rejects numbers beyond the dtype
            w *= math.inf
        return self._over_shares(partial(self._of_chunks, w))

    def _of_chunks(self, w: float, chunks: list[Chunk]) -> float:
        total = 0.0
        for x, _, y, p, _ in chunks:
            if self.slopes is None:
                torch.add(y, x, alpha=-w, out=p)
                total += torch.dot(p, x).item()
            else:
                total += torch.dot(self.slopes(torch.mul(x, w, out=p), y), x).item()
        return total


class Analytic(Autograd):
    """The gradient derived by hand, over chunks that stay in cache.

    For one feature and squared error on the CPU, the work is two calls for each long chunk, and
    PyTorch divides each call among its threads. All other work consists of more calls, or of
    products along a short axis, which PyTorch does not divide. In this case, each of our own
    threads sums a share of the chunks. Few features are stored by column, because products
    along short rows are slow. Long rows in memory are also stored by column, or copied to the
    cache before they are multiplied: MKL's product reads several rows side by side, a pattern
    that the hardware may not prefetch (`backends.longrows`).

    The constants below give the usual choices; see `backends.tuning`.
    """

    LINE_ROWS = 1 << 18
    """Number of rows in a chunk of data with one feature: 1 MB of float32, which fits in a
    second-level cache."""

    SLOPE_ROWS = 1 << 15
    """Number of rows in a chunk for one feature and a loss other than squared error. The chunk
    is shorter than `LINE_ROWS`, because PyTorch reads the predictions several times."""

    CHUNK_BYTES = 1 << 21
    """Size in bytes of a chunk of data with several features, which stays in a second-level
    cache."""

    MOST_COLUMNS = 16
    """Largest number of features that are stored by column."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        squared = problem.loss == SQUARED_ERROR
        self.slopes = None if squared else slopes_of(problem.loss)
        self.choice: tuning.Choice = {}
        if self.device.type != "cpu":
            self.sums = Sums([self.chunks], self.slopes, copied=False)
            return
        self.choice = tuning.choice_for(
            *("torch:analytic", torch.__version__, problem, torch.get_num_threads(), __file__),
            *(self._ranges(problem), self._trial(problem)),
        )
        self.sums = self._sums(len(self.y), self.choice)

    def _ranges(self, problem: Problem) -> tuning.Ranges:
        """Return the layouts and chunk sizes to try on the CPU, the usual ones first."""
        d, itemsize = problem.features, self.x.itemsize
        usual, ours = self.CHUNK_BYTES, 1
        if d == 1:
            ours = int(self.slopes is not None)
            usual = itemsize * (self.SLOPE_ROWS if ours else self.LINE_ROWS)
        layouts, sizes = [BY_ROW], TRIED_CHUNKS
        if longrows.are_far(problem):
            first = BY_COLUMN if longrows.usually_by_column(problem) else COPIED
            layouts = [first, *({BY_ROW, BY_COLUMN, COPIED} - {first})]
            sizes = (usual // 2, usual * 2)
        elif 2 <= d <= TRIED_COLUMNS:
            layouts = [BY_COLUMN, BY_ROW] if d <= self.MOST_COLUMNS else [BY_ROW, BY_COLUMN]
        return {
            "own_threads": [ours, 1 - ours] if d == 1 else [1],
            "layout": layouts,
            "chunk_bytes": [usual, *(size for size in sizes if size != usual)],
        }

    def _sums(self, count: int, choice: tuning.Choice) -> Sums:
        """Return `Sums` over the first `count` rows on the CPU, in chunks as chosen."""
        x, y = self.x[:count], self.y[:count]
        a_row = x.itemsize * (x.shape[1] if x.ndim > 1 else 1)
        rows = max(64, choice["chunk_bytes"] // a_row)
        chunks = list(zip(x.split(rows), y.split(rows), strict=True))
        if choice["layout"] == BY_COLUMN:
            chunks = by_column(chunks)
        shares = in_shares(chunks) if choice["own_threads"] else [chunks]
        kind = LineSums if x.ndim == 1 else Sums
        return kind(shares, self.slopes, copied=choice["layout"] == COPIED)

    def _trial(self, problem: Problem) -> tuning.Place:
        """Return the function that places some rows for a trial."""
        count = longrows.trial_rows(problem)
        w = torch.full((problem.features,), 1e-3, dtype=torch.float64)

        def place(choice: tuning.Choice) -> tuning.Trial:
            sums = self._sums(count, choice)
            return partial(sums.of, w), sums.running

        return place

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        scale = self.sums.sign * self.row_loss.scale * self.learning_rate / len(self.y)
        with self.sums.running():
            self.sums.descend(weights, scale, steps)
        return to_host(weights)

    def gradient(self, w: ArrayLike) -> Weights:
        with self.sums.running():
            return self.sums.sign * to_host(self.sums.of(self._start(w)).double().reshape(-1))


def by_column(chunks: Chunks) -> Chunks:
    """Return copies of the chunks in which each column of x is contiguous.

    All copies of x are in one large array of NumPy. On Linux, this array is in huge pages, in
    contrast to PyTorch's own memory, and is read from memory 1.03 to 1.1 times as fast.
    """
    sizes = [x.numel() for x, _ in chunks]
    room = torch.from_numpy(np.empty(sum(sizes), chunks[0][0].numpy().dtype))
    copies = [c.view(x.T.shape).T for c, (x, _) in zip(room.split(sizes), chunks, strict=True)]

    def fill(share: Chunks) -> None:
        for copy, x in share:
            copy.copy_(x)

    in_threads(fill, in_shares([(c, x) for c, (x, _) in zip(copies, chunks, strict=True)]))
    return [(copy, y) for copy, (_, y) in zip(copies, chunks, strict=True)]


def by_hand(problem: Problem, learning_rate: float, device: str) -> Autograd:
    """Place the data for the hand-derived gradient; on a GPU, use Triton if possible."""
    on_gpu, few = torch.device(device).type == "cuda", problem.features <= MOST_FEATURES
    if on_gpu and few and not reason_against(problem.loss):
        from backends.torch.onepass import OnePass

        return OnePass(problem, learning_rate, device)
    return Analytic(problem, learning_rate, device)
