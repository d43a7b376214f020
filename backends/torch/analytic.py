"""Compute the gradient by a formula derived by hand, chunk by chunk, without autograd."""

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
"""Chunk sizes in bytes, from 64 kB to 8 MB, that `backends.tuning` times to find the fastest
size."""

TRIED_COLUMNS = 64
"""Largest number of features for which layouts are always timed. With more features, layouts
are timed only for data that are larger than a cache (`backends.longrows`)."""

BY_ROW, BY_COLUMN, COPIED = range(3)
"""Ways to store a chunk of rows: `BY_ROW` stores X by row, and `BY_COLUMN` stores X by column.
`COPIED` also stores X by row, and each step copies the chunk to a buffer in the cache."""

Part = TypeVar("Part", Tensor, float)


class Chunk(NamedTuple):
    """A chunk of rows, its transposed view, and a buffer for its predictions."""

    x: Tensor
    across: Tensor
    """The transposed view of the tensor in `x`."""
    y: Tensor
    p: Tensor
    """Buffer for the predictions. All chunks of a thread use the same buffer."""
    copied_from: Tensor | None
    """If `x` is a buffer, the rows that every step copies to this buffer; otherwise None."""


class Sums:
    """The rows in chunks, and the sum ``xᵀ·slope`` over all chunks.

    The slope of a row is the derivative of the row's loss with respect to the row's prediction.

    Parameters
    ----------
    shares : list of Chunks
        For each Python thread, the list of its chunks. If there is only one thread, PyTorch
        divides each call among its own threads.
    slopes : callable, optional
        ``slopes(p, y)`` returns the slope of each row; None for squared error.
    copied : bool
        Whether each chunk is copied to a buffer in the cache in every step.

    Attributes
    ----------
    sign : float
        Sign of the computed sums: −1 for squared error, otherwise 1. For squared error, the
        negative slope ``y − x·w`` is computed, because it takes only one PyTorch call.
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
        """Turn autograd off during a ``with`` statement.

        If several Python threads share the rows, also turn off PyTorch's own threads.
        """
        with torch.inference_mode(), torch_alone() if len(self.shares) > 1 else nullcontext():
            yield

    def descend(self, w: Tensor, scale: float, steps: int) -> None:
        """Change w in place by `steps` steps ``w ← w − scale·sums``."""
        for _ in range(steps):
            w.sub_(self.of(w), alpha=scale)

    def of(self, w: Tensor) -> Tensor:
        """Return `sign` times ``xᵀ·slope`` over all rows, not divided by the number of rows.

        The result is float64 if a thread sums several chunks. Otherwise the result has the
        data's dtype.
        """
        self.cast.copy_(w)
        return self._over_shares(self._share)

    def _over_shares(self, part: Callable[[list[Chunk]], Part]) -> Part:
        """Call ``part(share)`` for each thread's list of chunks, and return the sum."""
        if len(self.shares) == 1:
            return part(self.shares[0])
        part = torch.inference_mode()(part)  # the mode of one thread does not hold for others
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
    """`Sums` for one feature on the CPU, where w and the sums are Python numbers.

    With Python numbers, a step makes two PyTorch calls fewer than with tensors. A PyTorch call
    takes as long as the arithmetic of a few thousand rows.
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
    """Descent with a gradient derived by hand, over chunks of rows that stay in a cache.

    These are the defaults:

    - For one feature and squared error, one Python thread calls PyTorch, which divides each
      call among its own threads. In all other cases, several Python threads sum chunks.
    - Data with at most `MOST_COLUMNS` features are stored by column, because products with
      short rows are slow.
    - If the rows are long and X is larger than a cache, `backends.longrows` decides whether X
      is stored by column, or whether every step copies the chunks to a cache.

    Other layouts, chunk sizes and threads are used if they were faster when `backends.tuning`
    timed them. On a GPU, the rows are a single chunk.
    """

    LINE_ROWS = 1 << 18
    """Default number of rows in a chunk for data with one feature: 1 MB of float32, which fits
    in a second-level cache."""

    SLOPE_ROWS = 1 << 15
    """Default number of rows in a chunk for data with one feature and a loss other than squared
    error. A small chunk keeps the predictions, which PyTorch reads several times, in a
    cache."""

    CHUNK_BYTES = 1 << 21
    """Default size in bytes of a chunk of X for data with several features. The chunk fits in a
    second-level cache."""

    MOST_COLUMNS = 16
    """Largest number of features for which the default layout of X is by column."""

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
        """Return the values that `tuning` tries for each parameter, the default first."""
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
        """Return the `Sums` of the first `count` rows, with the layout in `choice`."""
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
        """Return a function that prepares some of the rows, so that steps can be timed."""
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

    NumPy, not PyTorch, allocates the copies, because NumPy uses huge memory pages on Linux.
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
    """Return a `OnePass` if its GPU kernel supports the problem; otherwise an `Analytic`."""
    on_gpu, few = torch.device(device).type == "cuda", problem.features <= MOST_FEATURES
    if on_gpu and few and not reason_against(problem.loss):
        from backends.torch.onepass import OnePass

        return OnePass(problem, learning_rate, device)
    return Analytic(problem, learning_rate, device)
