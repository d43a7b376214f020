"""Compute the gradient with NumPy, block by block, so that a block stays in a core's cache."""

from __future__ import annotations

from functools import partial, reduce
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike

from backends import longrows, tuning
from backends.errors import Weights
from backends.numpy.plain import Plain
from backends.numpy.slopes import Slopes, in_place
from backends.numpy.threads import most_threads, numpys_blas
from backends.problem import Array, Problem
from backends.threads import in_threads

TRIED_BLOCKS = tuple(1 << k for k in range(15, 23))
"""Block sizes in bytes, from 32 kB to 4 MB, that `backends.tuning` times to find the fastest
size."""

TRIED_COLUMNS = 64
"""Largest number of features for which two layouts are always timed: X stored by row, and X
stored by column. With more features, the layouts are timed only for data that are larger than a
cache (`backends.longrows`)."""

MULTIPLE = 64
"""If the rows are divided into one block for each thread, the number of rows in a block is
rounded up to a multiple of this number."""


class Blocks:
    """Rows in blocks that are divided among threads, and the gradient over all blocks.

    The sums of a block have the data's dtype. The blocks' sums are added in float64.

    Parameters
    ----------
    x, y : array
    slopes : callable
        ``slopes(p, y)`` returns the slope of each row, the derivative of the row's loss with
        respect to the prediction p. The function is allowed to overwrite p.
    rows : int
        Largest number of rows in a block. Blocks of small data have fewer rows, so that
        more threads get a block.
    threads : int
        Number of threads.
    by_column : bool
        Whether each block of X is copied to an array of shape (d, rows).
    """

    def __init__(
        self, x: Array, y: Array, slopes: Slopes, rows: int, threads: int, by_column: bool
    ) -> None:
        self.x, self.y, self.slopes = x, y, slopes
        fair = -(-len(y) // threads)
        rows = min(rows, fair + -fair % MULTIPLE)  # every thread has a block
        blocks = [slice(start, start + rows) for start in range(0, len(y), rows)]
        self.by_column = by_column
        if by_column:
            self.columns = _columns(x, blocks, threads)
        longest = min(rows, len(y))
        self.shares = [(blocks[i::threads], np.empty(longest, x.dtype)) for i in range(threads)]

    def gradient(self, w: Weights) -> Weights:
        """Return ``xᵀ·slope`` over all rows, not divided by the number of rows."""
        cast = w.astype(self.x.dtype)
        if len(self.shares) == 1:  # building lists in `in_threads` takes 20 % of a small step
            return self.sums(cast, self.shares[0])
        total: Weights = reduce(np.add, in_threads(partial(self.sums, cast), self.shares))
        return total

    def sums(self, w: Array, share: tuple[list[slice], Array]) -> Weights:
        """Return ``xᵀ·slope`` over the blocks of a share.

        A share is a pair: the list of a thread's blocks, and a buffer for the predictions of
        one block.
        """
        blocks, buffer = share
        total = np.zeros(len(w))
        for block in blocks:
            y = self.y[block]
            p = buffer[: len(y)]
            x = self.columns[block.start] if self.by_column else self.x[block]
            if self.by_column:
                np.dot(w, x, out=p)
            elif x.ndim == 1:
                np.multiply(x, w[0], out=p)
            else:
                np.dot(x, w, out=p)
            slope = self.slopes(p, y)
            total += np.dot(x, slope) if self.by_column else np.dot(slope, x)
        return total


def _columns(x: Array, blocks: list[slice], threads: int) -> dict[int, Array]:
    """Return the transposed blocks of shape (d, rows).

    The key of a block is the number of its first row.
    """

    def copies(share: list[slice]) -> list[tuple[int, Array]]:
        return [(block.start, np.ascontiguousarray(x[block].T)) for block in share]

    shares = in_threads(copies, (blocks[i::threads] for i in range(threads)))
    return dict(chain.from_iterable(shares))


class Blocked(Plain):
    """Descent with a gradient derived by hand, over blocks of rows that stay in a cache.

    Each thread sums a part of the blocks. Products use ``dot``, because ``matmul`` keeps the
    interpreter's lock if a product has fewer than 500 values. BLAS uses one thread per call.

    By default, X is stored by column in two cases: X has at most `MOST_COLUMNS` features, or X
    is larger than a cache and has rows of 256 bytes to 2 kB (`backends.longrows`).
    """

    BLOCK_BYTES, COLUMN_BYTES = 1 << 20, 1 << 21
    """Default sizes in bytes of a block of X, which fits in a second-level cache.
    `COLUMN_BYTES` is for data for which `backends.longrows` chooses storage by column. With
    this larger size, the columns of a block are longer."""

    SLOPE_BYTES = 1 << 18
    """Largest default size in bytes of a block's predictions, for losses other than squared
    error. The predictions are read several times, so the predictions have to stay in a
    second-level cache."""

    MOST_COLUMNS = 16
    """Largest number of features for which the default layout of X is by column."""

    SERIAL_BYTES = 6 << 20
    """Data size in bytes below which one thread is used by default, because waking another
    thread takes too long."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.choice = tuning.choice_for(
            *("numpy:blocked", np.__version__, problem, most_threads(), __file__),
            *(self._ranges(problem), self._trial(problem)),
        )
        self.blocks = self._blocks(len(self.y), self.choice)

    def _ranges(self, problem: Problem) -> tuning.Ranges:
        """Return the values that `tuning` tries for each parameter, the default first."""
        d, threads = problem.features, most_threads()
        far, columns = longrows.are_far(problem), longrows.usually_by_column(problem)
        usual, tried = self.COLUMN_BYTES if columns else self.BLOCK_BYTES, TRIED_BLOCKS
        if not self.squared:
            usual = min(usual, self.SLOPE_BYTES * d)
        columns |= 2 <= d <= self.MOST_COLUMNS
        if far:
            tried = (usual // 2, usual * 2)
        serial = problem.bytes_per_step < self.SERIAL_BYTES
        counts = [1, threads] if serial else [threads, 1]
        small = problem.bytes_per_step <= tuning.TRIAL_BYTES
        both = far or 2 <= d <= TRIED_COLUMNS
        return {
            "by_column": [int(columns), int(not columns)] if both else [0],
            "block_bytes": [usual, *(size for size in tried if size != usual)],
            "threads": counts if small and threads > 1 else counts[:1],
        }

    def _blocks(self, count: int, choice: tuning.Choice) -> Blocks:
        """Divide the first `count` rows into blocks, with the layout and sizes in `choice`."""
        x, y = self.x[:count], self.y[:count]
        row_bytes = x.itemsize * (x.shape[1] if x.ndim > 1 else 1)
        rows = max(64, choice["block_bytes"] // row_bytes)
        by_column = bool(choice["by_column"])
        return Blocks(x, y, in_place(self.row_loss), rows, choice["threads"], by_column)

    def _trial(self, problem: Problem) -> tuning.Place:
        """Return a function that prepares some of the rows, so that steps can be timed."""
        count = longrows.trial_rows(problem)
        w = np.full(problem.features, 1e-3)

        def place(choice: tuning.Choice) -> tuning.Trial:
            step = partial(self._blocks(count, choice).gradient, w)
            return step, lambda: numpys_blas().limit(limits=1)

        return place

    def _gradient_of_loss(self, w: Weights) -> Weights:
        return self.scale / len(self.y) * self.blocks.gradient(w)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        with numpys_blas().limit(limits=1):
            return super().run(w, steps)

    def gradient(self, w: ArrayLike) -> Weights:
        return self.blocks.gradient(np.asarray(w, dtype=np.float64))
