"""Take each step in one vectorised pass over the rows; each thread sums a range of rows."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from functools import cached_property

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.numba.cache import PACKAGE
from backends.numba.emit import LINE_BYTES
from backends.numba.kernels import add_gradient, feature_sums
from backends.numba.loops import MOST_COLUMNS, MOST_FEW, Loop, fastest
from backends.numba.plain import Plain, read_only, start
from backends.numba.pointwise import Pointwise
from backends.problem import Array, Problem

SERIAL_BYTES = 1 << 18
"""Data size in bytes below which one thread is faster, because waking other threads takes
microseconds."""

COLUMN_ROWS = 8192 - 32
"""Number of rows in a block that is stored by column. This number is not a power of two,
because the columns would otherwise compete for the same cache lines."""

LINE_NUMBERS = LINE_BYTES // 8
"""Number of float64 values in a cache line. Each thread's array of sums is padded to a multiple
of this number, so that the threads write to different cache lines."""


@njit(cache=True, nogil=True)
def serial_descent(x, y, w, gradient, rate, steps, loop, slope, ahead):
    """Take steps ``w ← w − rate·Σ slope·x`` in one thread; store the last sum in `gradient`.

    The interpreter's lock is released, so that other threads can read rows at the same time.
    """
    for _ in range(steps):
        if x.ndim == 1:  # summing 100 rows takes as long as writing and reading a sum
            gradient[0] = feature_sums(loop, slope, ahead, x, None, y, w)[0]
            w[0] -= rate * gradient[0]
            continue
        for j in range(len(w)):
            gradient[j] = 0.0
        add_gradient(loop, slope, ahead, x, y, w, gradient)
        for j in range(len(w)):
            w[j] -= rate * gradient[j]


@njit(cache=True, nogil=True, parallel=True)
def parallel_descent(x, y, w, gradient, rate, steps, loop, slope, ahead, threads):
    """Take the steps of `serial_descent`; each thread sums a range of rows.

    The threads' sums are added in order, so results are reproducible.
    """
    d, held = len(w), x.shape[2] if x.ndim == 3 else 1  # rows in one item of x
    partial = np.empty((threads, -(-d // LINE_NUMBERS) * LINE_NUMBERS))
    for _ in range(steps):
        for thread in prange(threads):
            first, last = thread * len(x) // threads, (thread + 1) * len(x) // threads
            mine = partial[thread, :d]
            for j in range(d):
                mine[j] = 0.0
            targets = y[first * held : last * held]
            add_gradient(loop, slope, ahead, x[first:last], targets, w, mine)
        for j in range(d):
            gradient[j] = partial[0, j]
            for thread in range(1, threads):
                gradient[j] += partial[thread, j]
            w[j] -= rate * gradient[j]


@njit(cache=True, nogil=True)
def fill_columns(x, columns, features, package):
    """Copy x to `columns` of shape (blocks, d, rows), where each block is stored by column.

    The last block can be partly filled. `features` is a tuple with d items, so that the
    compiler knows the number of features.
    """
    width, rows = len(features), columns.shape[2]
    for b in range(len(columns)):
        # Slice first: Numba must assume that an index with an offset can be negative.
        block, part = columns[b], x[b * rows : (b + 1) * rows]
        flat = part.reshape(len(part) * width)
        for i in range(len(part)):
            for j in range(width):
                block[j, i] = flat[i * width + j]


def in_columns(x: Array) -> Array:
    """Copy x of shape (n, d) to blocks that are stored by column.

    The result has the shape (blocks, d, rows).
    """
    n, d = x.shape
    rows = min(COLUMN_ROWS, n)
    columns = np.empty((-(-n // rows), d, rows), x.dtype)
    fill_columns(x, columns, (0,) * d, PACKAGE)
    return read_only(columns)


class Parallel(Plain):
    """The technique `numba:parallel`: each thread reads and sums a range of rows once per step.

    - At most eight features: a SIMD vector holds one feature of many rows. X is stored by
      column if it has more than four features.
    - More features: a SIMD vector holds numbers of a single row.
    - Small data: one thread sums all rows.

    Sums within a block are in the data's dtype, and sums over blocks are float64.
    """

    reads_pairs = True

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        small = problem.bytes_per_step < SERIAL_BYTES
        self.threads = 1 if small else numba.get_num_threads()
        self.laid_out = self.x
        if problem.features == 1:
            self.laid_out = self.x[:, 0]
        elif MOST_FEW < problem.features <= MOST_COLUMNS and not problem.single_pass:
            self.laid_out = in_columns(self.x)

    @cached_property
    def loop(self) -> Loop:
        """The loop over the rows that `fastest` chooses for the data."""

        def trial(x: Array, y: Array, steps: int, loop: Loop) -> object:
            return descend(x, y, np.zeros(self.x.shape[1]), 0.0, steps, 1, loop, self.slope)

        return fastest(self.laid_out, self.y, self.threads, trial)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = start(w)
        self._descend(w, self.rate, steps)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        return self._descend(start(w), 0.0, 1)

    def _descend(self, w: Weights, rate: float, steps: int) -> Weights:
        x, y = self.laid_out, self.y
        return descend(x, y, w, rate, steps, self.threads, self.loop, self.slope)


def descend(
    x: Array,
    y: Array,
    w: Weights,
    rate: float,
    steps: int,
    threads: int,
    loop: Loop,
    slope: Pointwise,
) -> Weights:
    """Take steps, which change `w`; return the gradient ``Σ slope·x`` of the last step."""
    gradient = np.zeros(len(w))
    if threads == 1:
        serial_descent(x, y, w, gradient, rate, steps, loop, slope, loop.ahead)
    else:
        parallel_descent(x, y, w, gradient, rate, steps, loop, slope, loop.ahead, threads)
    return gradient
