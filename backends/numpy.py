"""NumPy: the gradient derived by hand."""

from __future__ import annotations

from functools import cache, partial, reduce

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import ThreadpoolController

from backends.errors import Weights
from backends.gram import Moments, ProblemGram
from backends.losses import SQUARED_ERROR, Loss, Pointwise
from backends.problem import Array, Problem
from backends.threads import in_threads

FEW_COLUMNS = 8
"""Largest number of features whose products `gram_of` sums column by column."""

PIECE_ROWS = 256
"""Rows of one feature that `line_gram_of` sums in the data's dtype. With so few rows, the
rounding errors of a piece stay near the dtype's precision."""

BLOCK_PIECES = 1 << 10
"""Pieces in a block of `line_gram_of`: 1 MB of float32 x and 1 MB of y."""


def slope_of(loss: Loss) -> Pointwise:
    """Return the slope of a loss; the catalogue has checked that the loss has a slope."""
    assert loss.slope is not None  # noqa: S101
    return loss.slope


class Plain:
    """The tutorial's listing: predict, derive the gradient by hand, update.

    ``np.mean`` sums pairwise and loses no digits. BLAS's ``xᵀ @ r`` sums row after row. It is
    therefore called for chunks of rows, whose sums are added in float64.
    """

    CHUNK_ROWS = 1 << 16
    """Rows that BLAS sums in the data's dtype: with more rows, float32 would lose digits."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.x = np.ascontiguousarray(problem.x)
        self.y = np.ascontiguousarray(problem.y)
        self.learning_rate, self.row_loss = learning_rate, problem.loss
        self.slope, self.scale = slope_of(problem.loss), problem.loss.scale
        self.squared = problem.loss == SQUARED_ERROR

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self._gradient_of_loss(w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        scale = len(self.y) / self.scale
        return np.atleast_1d(scale * self._gradient_of_loss(np.asarray(w, dtype=np.float64)))

    def loss(self, w: ArrayLike) -> float:
        prediction = self._prediction(np.asarray(w, dtype=np.float64))
        values = self.row_loss.value(np, prediction, self.y)
        return float(np.mean(values, dtype=np.float64))

    def _prediction(self, w: Weights) -> Array:
        w32 = w.astype(self.x.dtype)  # float32 data times a float64 w would be float64
        return self.x * w32 if self.x.ndim == 1 else self.x @ w32

    def _slope(self, w: Weights) -> Array:
        """Return the slope of the loss for each row, divided by the loss's scale."""
        if self.squared:  # an expression on its own lets NumPy reuse the temporary array
            w32 = w.astype(self.x.dtype)
            return (self.x * w32 if self.x.ndim == 1 else self.x @ w32) - self.y
        return np.asarray(self.slope(np, self._prediction(w), self.y))

    def _gradient_of_loss(self, w: Weights) -> Weights:
        slope = self._slope(w)
        if self.x.ndim == 1:
            return np.asarray(np.mean(self.scale * self.x * slope, dtype=np.float64))
        total = np.zeros(len(w))
        for start in range(0, len(self.y), self.CHUNK_ROWS):
            rows = slice(start, start + self.CHUNK_ROWS)
            total += self.x[rows].T @ slope[rows]
        return self.scale / len(self.y) * total


@cache
def numpys_blas() -> ThreadpoolController:
    """Return the controller of BLAS's threads; it is cached, because finding it is slow."""
    return ThreadpoolController().select(user_api="blas")


def most_threads() -> int:
    """Return the number of threads that NumPy's BLAS may use; our own threads replace them."""
    return max((library["num_threads"] for library in numpys_blas().info()), default=1)


class Blocked(Plain):
    """The hand-derived gradient over blocks that stay in cache, on all threads.

    Each thread takes a share of the blocks. This works because NumPy releases the interpreter's
    lock: ``dot`` always does, ``matmul`` only if it writes 500 values or more. During a step
    BLAS is limited to one thread, because on blocks this small its threads would only wait for
    each other. Sums within a block have the data's dtype, sums over blocks are float64. Few
    features are stored by column, because products along short rows are slow.
    """

    BLOCK_BYTES = 1 << 20
    """Size of a block of X in bytes: a block stays in a second-level cache."""

    SLOPE_BYTES = 1 << 18
    """Largest size in bytes of a block's predictions if the slope needs temporary arrays. A few
    arrays of this size stay in a second-level cache, and threads rarely wait for Python's
    lock."""

    MOST_COLUMNS = 16
    """Largest number of features that are stored by column."""

    SERIAL_BYTES = 1 << 23
    """Data size in bytes below which one thread is faster, because waking others takes too
    long."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        small = problem.bytes_per_step < self.SERIAL_BYTES
        threads = 1 if small else most_threads()
        rows = max(64, self.BLOCK_BYTES // (problem.features * self.x.itemsize))
        if not self.squared:
            rows = min(rows, self.SLOPE_BYTES // self.x.itemsize)
        blocks = [slice(start, start + rows) for start in range(0, len(self.y), rows)]
        shares = [blocks[i::threads] for i in range(threads)]
        self.by_column = 2 <= problem.features <= self.MOST_COLUMNS
        if self.by_column:
            # Store the columns of each block contiguously, (d, rows), one block after the
            # other.
            self.blocks = {b.start: np.ascontiguousarray(self.x[b].T) for b in blocks}
        longest = min(rows, len(self.y))
        self.shares = [(share, np.empty(longest, self.x.dtype)) for share in shares]

    def _gradient_of_loss(self, w: Weights) -> Weights:
        return self.scale / len(self.y) * self.gradient(w)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        with numpys_blas().limit(limits=1):
            return super().run(w, steps)

    def gradient(self, w: ArrayLike) -> Weights:
        w = np.asarray(w, dtype=np.float64)
        cast = w.astype(self.x.dtype)
        if len(self.shares) == 1:  # building lists in `in_threads` takes 20 % of a small step
            return self._sums(cast, self.shares[0])
        total: Weights = reduce(np.add, in_threads(partial(self._sums, cast), self.shares))
        return total

    def _sums(self, w: Array, share: tuple[list[slice], Array]) -> Weights:
        """Return ``xᵀ·slope`` over a share: its blocks, and a buffer for predictions."""
        blocks, buffer = share
        total = np.zeros(len(w))
        for block in blocks:
            y = self.y[block]
            slope = buffer[: len(y)]  # first holds the predictions
            x = self.blocks[block.start] if self.by_column else self.x[block]
            if self.by_column:
                np.dot(w, x, out=slope)
            elif x.ndim == 1:
                np.multiply(x, w[0], out=slope)
            else:
                np.dot(x, w, out=slope)
            if self.squared:
                slope -= y
            else:
                slope = self.slope(np, slope, y).astype(slope.dtype, copy=False)
            total += np.dot(x, slope) if self.by_column else np.dot(slope, x)
        return total


def gram_of(x: Array, y: Array) -> Array:
    """Return the float64 Gram matrix of x, (n, d), with y as one more column.

    Up to `FEW_COLUMNS` features, the products are computed one column at a time. At d = 1 this
    is three times faster than BLAS's syrk, which is made for large matrices.
    """
    n, d = x.shape
    if d > FEW_COLUMNS:
        both = np.empty((n, d + 1))
        both[:, :-1], both[:, -1] = x, y
        return np.asarray(np.dot(both.T, both))
    columns, products = np.empty((d + 1, n)), np.empty((d + 1, d + 1))
    columns[:-1], columns[-1] = x.T, y
    for j in range(d + 1):
        products[j, : j + 1] = products[: j + 1, j] = np.dot(columns[: j + 1], columns[j])
    return products


def line_gram_of(x: Array, y: Array) -> Array:
    """Return the Gram matrix of one feature, x of shape (n,), and y, without converting them.

    BLAS sums short pieces in the data's dtype, many pieces in one call; the sums of the
    pieces are added in float64. The first call reads a block from memory, the other two
    from the caches. Blocks are long, because threads wait for the interpreter's lock
    between two calls.
    """
    count = len(y) // PIECE_ROWS
    whole = count * PIECE_ROWS
    xs, ys = x[:whole].reshape(-1, PIECE_ROWS), y[:whole].reshape(-1, PIECE_ROWS)
    xx, xy, yy = sums = np.empty((3, count), x.dtype)
    for start in range(0, count, BLOCK_PIECES):
        block = slice(start, start + BLOCK_PIECES)
        np.vecdot(xs[block], xs[block], out=xx[block])
        np.vecdot(xs[block], ys[block], out=xy[block])
        np.vecdot(ys[block], ys[block], out=yy[block])
    xx, xy, yy = sums.sum(axis=1, dtype=np.float64)
    rest = gram_of(x[whole:, None], y[whole:])
    rest += [[xx, xy], [xy, yy]]
    return rest


class Gram(ProblemGram):
    """One pass for XᵀX and Xᵀy, then steps that cost O(d²); squared error only.

    Blocks are converted to float64 while they are in cache. For many features ``xᵀ @ x`` calls
    BLAS's syrk, which does half the work of a product of two matrices.

    With one feature and many rows, pieces of the rows are summed in the data's dtype: the
    rounding errors average out and stay below those of a loop of steps. With several features
    the blocks are float64, because rounding errors of XᵀX would be multiplied by the condition
    number; those of a loop are not.
    """

    BLOCK_BYTES = 1 << 20
    """Size in bytes of a block's float64 copy: the copy stays in a second-level cache."""

    MANY_ROWS = 1 << 18
    """Number of rows, for one feature, from which pieces are summed in the data's dtype."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, self._moments_of(problem))

    def _moments_of(self, problem: Problem) -> Moments:
        d = problem.features
        threads = most_threads()
        x, y, of = problem.x.reshape(problem.rows, d), problem.y, gram_of
        rows = max(64, self.BLOCK_BYTES // (8 * d))
        if d == 1 and problem.rows >= self.MANY_ROWS:
            x, of, rows = x[:, 0], line_gram_of, -(-problem.rows // threads)
        starts = range(0, problem.rows, rows)

        def share(mine: range) -> Weights:
            total = np.zeros((d + 1, d + 1))
            for start in mine:
                total += of(x[start : start + rows], y[start : start + rows])
            return total

        shares = [starts[i::threads] for i in range(min(threads, len(starts)))]
        with numpys_blas().limit(limits=1):
            total: Weights = reduce(np.add, in_threads(share, shares))
        return total[:-1, :-1].copy(), total[:-1, -1].copy(), float(total[-1, -1])
