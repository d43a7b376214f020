"""Sum XᵀX, Xᵀy and yᵀy with NumPy, and descend with these sums."""

from __future__ import annotations

from functools import reduce

import numpy as np

from backends.errors import Weights
from backends.gram import Moments, ProblemGram
from backends.numpy.threads import most_threads, numpys_blas
from backends.problem import Array, Problem
from backends.threads import in_threads

FEW_COLUMNS = 8
"""Largest number of features for which `gram_of` multiplies column by column."""

PIECE_ROWS = 256
"""Number of rows in a piece. `line_gram_of` sums each piece in the data's dtype. Longer pieces
would have larger rounding errors."""

BLOCK_PIECES = 1 << 10
"""Number of pieces, each of `PIECE_ROWS` rows, that `line_gram_of` sums in one call of NumPy.
Together, these pieces have 2¹⁸ rows (1 MB of float32)."""


def gram_of(x: Array, y: Array) -> Array:
    """Return the float64 matrix ``AᵀA``, where A is x with y as an additional last column.

    x has the shape (n, d), and the result has the shape (d + 1, d + 1). With at most
    `FEW_COLUMNS` features, each column of A is multiplied by itself and by the columns before
    it. With one feature, these products are three times as fast as BLAS's product of matrices.
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
    """Return the result of `gram_of` for x of shape (n,), without copying x to float64.

    A piece has `PIECE_ROWS` rows, and is summed in the data's dtype. The sums of the pieces are
    then added in float64. Each call of ``vecdot`` sums many pieces, so that threads
    seldom wait for the interpreter's lock.
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
    """Descent for squared error: XᵀX and Xᵀy are computed once and then used in each step.

    A step costs O(d²), independently of the number of rows. Blocks of rows are converted to
    float64 while they are in a cache.

    With one feature and many rows, `line_gram_of` computes the sums without converting the
    rows. The rounding errors of its many partial sums average out. With several features,
    float64 is needed, because the condition number of XᵀX multiplies the rounding errors.
    """

    BLOCK_BYTES = 1 << 20
    """Size in bytes of a block's float64 copy, which fits in a second-level cache."""

    MANY_ROWS = 1 << 18
    """Smallest number of rows for `line_gram_of`. With fewer rows, `gram_of` is used."""

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
