"""Sum XᵀX, Xᵀy and yᵀy in float64 in one pass, then take steps with the sums."""

# mypy: allow-untyped-defs

from __future__ import annotations

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.gram import ProblemGram
from backends.numba.cache import PACKAGE
from backends.numba.kernels import BLOCK_BYTES, VECTORISE, dot
from backends.numba.plain import Plain, start
from backends.problem import Problem


@njit(fastmath=VECTORISE)
def line_products(x, y):
    """Return ``Σ x²``, ``Σ x·y`` and ``Σ y²`` for data with one feature, in float64."""
    xx = xy = yy = 0.0
    for i in range(len(x)):
        a, b = np.float64(x[i]), np.float64(y[i])
        xx += a * a
        xy += a * b
        yy += b * b
    return xx, xy, yy


@njit
def add_gram(x, y, total):
    """Add the lower triangle of ``AᵀA`` to `total`; A is x with y as an additional column."""
    n, d = x.shape
    rows = max(8, BLOCK_BYTES // (8 * (d + 1)))
    for i in range(0, n, rows):
        block, targets = x[i : i + rows], y[i : i + rows]
        if d == 1:
            xx, xy, yy = line_products(block.reshape(-1), targets)
            total[0, 0] += xx
            total[1, 0] += xy
            total[1, 1] += yy
        else:
            # Store features as rows, so that a sum of products reads contiguous memory.
            columns = np.empty((d + 1, len(targets)))
            for i in range(len(targets)):
                for j in range(d):
                    columns[j, i] = block[i, j]
                columns[d, i] = targets[i]
            add_products(columns, total)


@njit
def in_order(partial):
    """Return the sum over the first axis, by a loop that compiles faster than ``np.sum``."""
    total = np.zeros_like(partial[0])
    for part in partial:
        total += part
    return total


@njit(cache=True, nogil=True, parallel=True)
def parallel_products(x, y, threads, package):
    """Return the lower triangle of ``AᵀA``, where A is x with y as an additional column.

    Each thread sums a range of rows.
    """
    d = x.shape[1]
    partial = np.zeros((threads, d + 1, d + 1))
    for thread in prange(threads):
        first, last = thread * len(x) // threads, (thread + 1) * len(x) // threads
        add_gram(x[first:last], y[first:last], partial[thread])
    return in_order(partial)


@njit(fastmath=VECTORISE)
def add_products(columns, total):
    """Add the lower triangle of ``columns @ columnsᵀ`` to `total`, four entries at a time."""
    d = len(columns)
    for j in range(d):
        c = columns[j]
        k = 0
        while k + 4 <= j + 1:
            c0, c1, c2, c3 = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
            s0 = s1 = s2 = s3 = 0.0
            for i in range(len(c)):
                s0 += c[i] * c0[i]
                s1 += c[i] * c1[i]
                s2 += c[i] * c2[i]
                s3 += c[i] * c3[i]
            total[j, k] += s0
            total[j, k + 1] += s1
            total[j, k + 2] += s2
            total[j, k + 3] += s3
            k += 4
        while k <= j:
            total[j, k] += dot(c, columns[k])
            k += 1


@njit(cache=True, nogil=True)
def gram_descent(xtx, xty, w, rate, steps, package):
    """Return w after `steps` steps ``w ← w − rate·(XᵀX·w − Xᵀy)``.

    `rate` is the learning rate times 2/n, where n is the number of rows.
    """
    d = len(w)
    slope = np.empty(d)
    for _ in range(steps):
        for j in range(d):
            slope[j] = dot(xtx[j], w) - xty[j]
        for j in range(d):
            w[j] -= rate * slope[j]
    return w


class Gram(ProblemGram):
    """Descent for squared error: XᵀX and Xᵀy are computed once and then used in each step."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        placed = Plain(problem, learning_rate, device)
        lower = parallel_products(placed.x, placed.y, numba.get_num_threads(), PACKAGE)
        full = np.tril(lower) + np.tril(lower, -1).T
        xtx, xty = np.ascontiguousarray(full[:-1, :-1]), full[:-1, -1].copy()
        super().__init__(problem, learning_rate, (xtx, xty, float(full[-1, -1])))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        result: Weights = gram_descent(self.xtx, self.xty, start(w), self.rate, steps, PACKAGE)
        return result
