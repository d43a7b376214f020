"""A descent for data that do not fit in memory: every step reads the rows again from the file.

Several threads read one block of rows each, and let the backend compute the gradient of the
block. The gradients are added. A block is so small that it stays in the caches until its
gradient is computed. With a ``gram`` technique, the file is read only once per descent, to
compute XᵀX and Xᵀy.

The backend's library computes the gradient of a block in a single thread, if it has such a
setting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, cast

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import ProblemError, Weights
from backends.gram import GramDescent, Moments, Sums, residual_sums
from backends.interface import Backend, Descent
from backends.losses import SQUARED_ERROR
from backends.names import Name
from backends.problem import Problem, step_bytes
from backends.rows.blocks import Block
from backends.rows.source import BLOCK_BYTES, RUN, Joined, Result, Source, most_threads
from backends.threads import bound_here, one_each

IN_MEMORY = 4
"""Upper bound of the memory for X, y and a backend's temporary arrays, relative to the size of
X and y. Backends with autograd need the most memory."""

BLOCKS_A_THREAD = 4 + RUN
"""Memory per thread, counted in blocks. The thread's block and the backend's temporary arrays
take 4 blocks. Rows that are decoded in advance take `RUN` blocks."""

BLOCKS_BESIDE = 1 + RUN
"""Memory that all threads share, counted in blocks. Gradients that are not added yet take 1
block. Rows that are being read take `RUN` blocks."""

SMALLEST_BLOCK = 1 << 20
"""Smallest block size in bytes. For a smaller block, giving the block to the backend would take
longer than computing its gradient."""


def place(
    backend: Backend,
    source: Source,
    learning_rate: float,
    memory_bytes: int,
    start: int = 0,
    stop: int | None = None,
    threads: int | None = None,
) -> Descent:
    """Return a descent over rows `start` to `stop` of a source.

    If the rows fit in memory, they are read once. Otherwise every step reads them again.

    Parameters
    ----------
    memory_bytes : int
        Limit in bytes for the additional memory that the descent uses.
    threads : int, optional
        Largest number of threads that read rows; by default the result of `most_threads`.

    Raises
    ------
    ProblemError
        The rows cannot be used, or the memory does not hold a single block.
    """
    stop = source.rows if stop is None else stop
    if fits(source, start, stop, memory_bytes):
        return backend.place(source.load(start, stop), learning_rate)
    least = max(SMALLEST_BLOCK, step_bytes(1, source.features, source.dtype))
    threads = min(
        threads or most_threads(), (memory_bytes // least - BLOCKS_BESIDE) // BLOCKS_A_THREAD
    )
    if threads < 1:
        more = -(-(blocks_held(1) * least - memory_bytes) // 1_000_000)
        raise ProblemError(
            f"only {max(0, memory_bytes) / 1e6:.0f} MB of memory are left, too little to "
            f"stream with; {more} MB more are needed"
        )
    block_bytes = min(BLOCK_BYTES, memory_bytes // blocks_held(threads))
    kind = StreamedGram if Name.parse(backend.name).least_squares_only else Streamed
    return kind(backend, source, learning_rate, block_bytes, start, stop, threads)


def blocks_held(threads: int) -> int:
    """Return the memory needed for streaming with `threads` threads, as a number of blocks."""
    return BLOCKS_A_THREAD * threads + BLOCKS_BESIDE


def fits(source: Source, start: int, stop: int, memory_bytes: int) -> bool:
    """Return whether rows `start` to `stop` and a backend's temporary arrays fit in memory."""
    data = (stop - start) * step_bytes(1, source.features, source.dtype)
    return IN_MEMORY * data <= memory_bytes


@dataclass(frozen=True)
class Bounded:
    """A backend with a memory limit. If the rows exceed the limit, every step reads them again.

    Attributes
    ----------
    backend : Backend
    memory_bytes : int
        Limit in bytes for the additional memory that a descent uses.
    announce : callable
        ``announce(descent)`` is called before the first step of a `Streamed` descent.
    """

    backend: Backend
    memory_bytes: int
    announce: Callable[[Streamed], None] = lambda _: None

    @property
    def name(self) -> str:
        return self.backend.name

    def place(self, problem: Problem | Source, learning_rate: float) -> Descent:
        """Return a descent over the rows of a problem or a source."""
        if isinstance(problem, Problem):
            return self.backend.place(problem, learning_rate)
        if Name.parse(self.name).distributed:
            return cast(SourceBackend, self.backend).place(problem, learning_rate)
        descent = place(self.backend, problem, learning_rate, self.memory_bytes)
        if isinstance(descent, Streamed):
            self.announce(descent)
        return descent

    def peak_device_bytes(self) -> int | None:
        return self.backend.peak_device_bytes()


class SourceBackend(Backend, Protocol):
    """A backend whose method `place` accepts a `Source` as well as a `Problem`."""

    def place(self, problem: Problem | Source, learning_rate: float) -> Descent:
        """Give the rows to the backend's workers, and return a descent over the rows."""
        ...


@dataclass(eq=False)
class _Blockwise:
    """Base class of the descents that give their backend one block of rows after another.

    Attributes
    ----------
    backend : Backend
        Computes the gradient of each block.
    source : Source
    learning_rate : float
    block_bytes : int
        Largest size of X and y in a block, in bytes.
    start, stop : int
        The first row, and the row after the last one. By default, all rows are used.
    threads : int, optional
        Number of threads that read rows; by default the result of `most_threads`.
    """

    backend: Backend
    source: Source
    learning_rate: float
    block_bytes: int = BLOCK_BYTES
    start: int = 0
    stop: int | None = None
    threads: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows from `start` to `stop`."""
        return (self.source.rows if self.stop is None else self.stop) - self.start

    @cached_property
    def _joined(self) -> Joined | None:
        if self.source.loss != SQUARED_ERROR:  # the slope is not the residual
            return None
        # For most backends, copying x and y to two arrays is faster than summing over pairs.
        if self.source.features == 1 and not getattr(self.backend, "reads_pairs", False):
            return None
        return self.source.joined()

    def _each(self, work: Callable[[Block], Result]) -> Iterator[Result]:
        """Yield the result of `work` for each block, in order.

        The blocks hold joined rows (see `Joined`) if the source and the backend allow this.
        """

        def alone(block: Block) -> Result:
            bound_here(1)
            return work(block)

        source = self._joined.source if self._joined else self.source
        with one_each():
            yield from source.each_block(
                alone, self.block_bytes, self.start, self.stop, self.threads
            )

    def _check(self, block: Block) -> None:
        """Raise ProblemError if a value in the block cannot be used."""
        try:
            block.check()
        except ProblemError:
            if self._joined:  # y is a feature of the block; `load` raises an error that names y
                end = min(block.start + len(block.y), self.start + self.rows)
                self.source.load(block.start, end)
            raise


class Streamed(_Blockwise):
    """A descent in which every step reads all rows from the file.

    The methods `loss` and `gradient` also read all rows, and they store the gradient. If the
    next step starts from the same w, the step uses the stored gradient and reads no rows.
    """

    _looked: tuple[Weights, Weights, float] | None = None  # w, the gradient's sums, the loss
    _accepted = False  # whether a full pass has checked the targets

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        rate = self.source.loss.scale * self.learning_rate / self.rows
        for _ in range(steps):
            seen = self._seen(w)
            w -= rate * (seen[0] if seen else self._sums(w)[0])
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        return self._look(w)[0].copy()

    def loss(self, w: ArrayLike) -> float:
        return self._look(w)[1]

    def seconds_a_pass(self, most_blocks: int = 4) -> float:
        """Estimate how many seconds a step takes, by timing a step with a few of the blocks."""
        w = np.zeros(self.source.features)
        row_bytes = step_bytes(1, self.source.features, self.source.dtype)
        rows = max(1, self.block_bytes // row_bytes) * (self.threads or most_threads())
        first = self.start + min(self.rows, rows)
        last = self.start + min(self.rows, (1 + most_blocks) * rows)
        replace(self, stop=first).run(w, 1)
        # The system has cached the warm-up's blocks by now, so other blocks are timed.
        some = replace(self, start=first if first < last else self.start, stop=last)
        began = time.perf_counter()
        some.run(w, 1)
        return (time.perf_counter() - began) / some.rows * self.rows

    def _look(self, w: ArrayLike) -> tuple[Weights, float]:
        """Return and store the gradient and the loss for the weights `w`."""
        w = np.array(w, dtype=np.float64)
        seen = self._seen(w)
        if seen is None:
            seen = self._sums(w, with_loss=True)
            self._looked = (w, *seen)
        return seen

    def _seen(self, w: Weights) -> tuple[Weights, float] | None:
        if self._looked is None or not np.array_equal(self._looked[0], w):
            return None
        return self._looked[1:]

    def _sums(self, w: Weights, *, with_loss: bool = False) -> tuple[Weights, float]:
        """Read all rows; return the gradient, and the loss (0 if `with_loss` is false)."""
        weights = self._joined.weights(w) if self._joined else w

        def sums(block: Block) -> tuple[Weights, float]:
            if not self._accepted:
                block.check_targets()
            descent = self.backend.place(block.problem(), self.learning_rate)
            with np.errstate(over="ignore", invalid="ignore"):  # checked below
                part = descent.gradient(weights)
            if not np.isfinite(part).all():  # faster than checking every value of every block
                self._check(block)
            return part, block.losses(descent.loss(weights)) if with_loss else 0.0

        gradient, losses = np.zeros(len(weights)), 0.0
        for part, loss in self._each(sums):
            gradient += part
            losses += loss
        self._accepted = True
        if self._joined:
            gradient = self._joined.gradient(gradient)
        return gradient, losses / self.rows


@dataclass(eq=False)
class StreamedGram(_Blockwise, GramDescent):
    """A squared-error descent that reads the rows once, to compute XᵀX and Xᵀy.

    The steps then cost O(d²) and read no rows. The method `loss` reads the rows again if XᵀX
    and Xᵀy would not give an accurate result.
    """

    def __post_init__(self) -> None:
        d = self.source.features
        xtx, xty, yty = np.zeros((d, d)), np.zeros(d), 0.0
        for parts in self._each(self._moments):
            xtx, xty, yty = xtx + parts[0], xty + parts[1], yty + parts[2]
        moments = xtx, xty, yty
        GramDescent.__init__(self, moments, self.learning_rate, self.rows, self.source.dtype)

    def _moments(self, block: Block) -> Moments:
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            placed = self.backend.place(block.problem(), self.learning_rate)
        parts = cast(GramDescent, placed).moments()
        if not all(np.isfinite(part).all() for part in parts):
            self._check(block)
        return self._joined.moments(parts[0]) if self._joined else parts

    def residual_sums(self, w: Weights) -> Sums:
        weights = self._joined.weights(w) if self._joined else w
        slope, squares = np.zeros(len(weights)), 0.0
        for part in self._each(lambda block: residual_sums(block.x, block.y, weights)):
            slope, squares = slope + part[0], squares + part[1]
        return self._joined.gradient(slope) if self._joined else slope, squares
