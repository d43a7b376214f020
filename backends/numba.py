"""Numba: the loops written out, compiled in nopython mode."""

from __future__ import annotations

from collections.abc import Mapping

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from backends.interface import Place, Weights
from backends.problem import Array, Problem

# What a vectorised sum needs, and no more: `fastmath=True` would also assume
# that there is no NaN and no infinity.
VECTORISE = {"reassoc", "contract", "arcp", "nsz"}

BLOCK_BYTES = 1 << 15
"""Float32 sums run over one block of rows, float64 sums over the blocks."""


@njit(cache=True)
def loop(x, y, w, learning_rate, steps):  # type: ignore[no-untyped-def]
    """Return w after `steps` steps: row by row, float64 sums."""
    n, d = x.shape
    for _ in range(steps):
        gradient = sums(x, y, w)
        for j in range(d):
            w[j] -= learning_rate * 2.0 / n * gradient[j]
    return w


@njit(cache=True)
def sums(x, y, w):  # type: ignore[no-untyped-def]
    """Return ``xᵀ(x·w − y)``, shape (d,), float64."""
    n, d = x.shape
    gradient = np.zeros(d)
    for i in range(n):
        residual = -np.float64(y[i])
        for j in range(d):
            residual += x[i, j] * w[j]
        for j in range(d):
            gradient[j] += x[i, j] * residual
    return gradient


@njit(cache=True)
def mean_squared_error(x, y, w):  # type: ignore[no-untyped-def]
    """Return ``mean((x·w − y)²)``, summed in float64."""
    n, d = x.shape
    total = 0.0
    for i in range(n):
        residual = -np.float64(y[i])
        for j in range(d):
            residual += x[i, j] * w[j]
        total += residual * residual
    return total / n


class Plain:
    """The jitted loop: row by row, as one would write it down, in float64."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        x = np.ascontiguousarray(problem.x).reshape(problem.rows, problem.features)
        self.x, self.y = _read_only(x), _read_only(np.ascontiguousarray(problem.y))
        self.learning_rate = learning_rate

    def run(self, w: ArrayLike, steps: int) -> Weights:
        result: Weights = loop(self.x, self.y, _start(w), self.learning_rate, steps)
        return result

    def gradient(self, w: ArrayLike) -> Weights:
        result: Weights = sums(self.x, self.y, _start(w))
        return result

    def loss(self, w: ArrayLike) -> float:
        return float(mean_squared_error(self.x, self.y, _start(w)))


def _read_only(values: Array) -> Array:
    """Return a read-only view: to Numba another type, which would compile anew."""
    view = values.view()
    view.flags.writeable = False
    return view


def _start(w: ArrayLike) -> Weights:
    return np.array(w, dtype=np.float64)  # a copy: the loops write to it


@njit(cache=True, fastmath=VECTORISE)
def add_rows(x, y, w, gradient):  # type: ignore[no-untyped-def]
    """Add ``xᵀ(x·w − y)`` to `gradient`, eight rows at a time.

    Eight dot products share the loads of w; one sweep then adds all eight
    rows to the gradient while they are still in the first-level cache.
    """
    n, d = x.shape
    zero = w[0] * 0
    i = 0
    while i + 8 <= n:
        # Slices first: `x[i + 1, j]` in the loop would stop its vectorisation.
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        r0, r1, r2, r3, r4, r5, r6, r7 = zero, zero, zero, zero, zero, zero, zero, zero
        for j in range(d):
            r0 += x0[j] * w[j]
            r1 += x1[j] * w[j]
            r2 += x2[j] * w[j]
            r3 += x3[j] * w[j]
            r4 += x4[j] * w[j]
            r5 += x5[j] * w[j]
            r6 += x6[j] * w[j]
            r7 += x7[j] * w[j]
        r0, r1, r2, r3 = r0 - y[i], r1 - y[i + 1], r2 - y[i + 2], r3 - y[i + 3]
        r4, r5, r6, r7 = r4 - y[i + 4], r5 - y[i + 5], r6 - y[i + 6], r7 - y[i + 7]
        for j in range(d):
            first = (r0 * x0[j] + r1 * x1[j]) + (r2 * x2[j] + r3 * x3[j])
            second = (r4 * x4[j] + r5 * x5[j]) + (r6 * x6[j] + r7 * x7[j])
            gradient[j] += first + second
        i += 8
    while i < n:
        row = x[i]
        residual = zero
        for j in range(d):
            residual += row[j] * w[j]
        residual -= y[i]
        for j in range(d):
            gradient[j] += residual * row[j]
        i += 1


@njit(cache=True, fastmath=VECTORISE)
def add_line(x, y, w, gradient):  # type: ignore[no-untyped-def]
    """Add ``Σ x·(x·w − y)`` to `gradient` for one feature, x of shape (n,)."""
    w0 = w[0]
    total = w0 * 0
    for i in range(len(x)):
        total += x[i] * (x[i] * w0 - y[i])
    gradient[0] += total


@njit(cache=True)
def range_sums(x, y, w, total):  # type: ignore[no-untyped-def]
    """Add ``xᵀ(x·w − y)`` to the float64 `total`, block by block of rows."""
    n, d = x.shape
    rows = max(8, BLOCK_BYTES // (d * x.itemsize) // 8 * 8)
    cast = w.astype(x.dtype)
    block = np.empty(d, x.dtype)
    for start in range(0, n, rows):
        block[:] = 0
        if d == 1:
            add_line(x[start : start + rows, 0], y[start : start + rows], cast, block)
        else:
            add_rows(x[start : start + rows], y[start : start + rows], cast, block)
        total += block


@njit(cache=True)
def parallel_loop(x, y, w, learning_rate, steps, threads):  # type: ignore[no-untyped-def]
    """Return w after `steps` steps, each with one range of rows a thread."""
    n, d = x.shape
    for _ in range(steps):
        gradient = parallel_sums(x, y, w, threads)
        for j in range(d):
            w[j] -= learning_rate * 2.0 / n * gradient[j]
    return w


@njit(cache=True, parallel=True)
def parallel_sums(x, y, w, threads):  # type: ignore[no-untyped-def]
    """Return ``xᵀ(x·w − y)``, shape (d,), float64, added up in thread order."""
    n, d = x.shape
    partial = np.zeros((threads, d))
    for thread in prange(threads):
        start, stop = thread * n // threads, (thread + 1) * n // threads
        range_sums(x[start:stop], y[start:stop], w, partial[thread])
    return partial.sum(axis=0)


class Parallel(Plain):
    """One pass over the memory a step: blocked, vectorised, a row range a thread."""

    SERIAL_BYTES = 1 << 18  # below it, waking the threads costs more than it saves

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        small = problem.bytes_per_step < self.SERIAL_BYTES
        self.threads = 1 if small else numba.get_num_threads()

    def run(self, w: ArrayLike, steps: int) -> Weights:
        result: Weights = parallel_loop(
            self.x, self.y, _start(w), self.learning_rate, steps, self.threads
        )
        return result

    def gradient(self, w: ArrayLike) -> Weights:
        result: Weights = parallel_sums(self.x, self.y, _start(w), self.threads)
        return result


TECHNIQUES: Mapping[str, Place] = {"": Plain, "parallel": Parallel}


def devices(technique: str) -> Mapping[str, str]:
    """Numba's CPU target."""
    return {"cpu": ""}


def peak_device_bytes(device: str) -> int | None:
    """The host's memory is the process's own."""
    return None
