"""Numba: the loops written out, compiled in nopython mode."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.gram import ProblemGram
from backends.numba.vectors import (
    LINE_BYTES,
    VECTOR_BYTES,
    lanes_of,
    load,
    load_every,
    load_wide,
    multiply_add,
    prefetch,
    prefetch_far,
    spread,
    spread_wide,
    store,
    sum_lanes,
)
from backends.problem import Array, Problem

# What Python calls lets go of the interpreter's lock (`nogil`): a thread that streams
# computes while others read.
#
# What a vectorised sum needs, and no more: `fastmath=True` would also assume
# that there is no NaN and no infinity.
VECTORISE = {"reassoc", "contract", "arcp", "nsz"}

LINE_ROWS = 8192
COLUMN_ROWS = 8192 - 32
BLOCK_BYTES, BLOCK_ROWS = 1 << 18, 512
"""Sizes of the blocks (of rows: the greater): sums are in the data's dtype within, float64
across. Columns a power of two apart would contend for the same lines of the cache."""

MOST_FEW, MOST_COLUMNS = 4, 8
"""Most features that are taken from rows as they lie, and that are laid out in columns."""

FAR_BYTES = 6 << 20
"""A thread's rows are read as if from memory when there are so many of them."""

TWO_BYTES, FOUR_BYTES = 2 * VECTOR_BYTES, 4 * VECTOR_BYTES
"""Rows up to which a row, its weights and its sums are kept in two or four registers each."""

PIPELINED_BYTES, ABREAST_BYTES = 512, 10 << 10
"""Rows from memory from which one can be added while the next is read, and from which w, the
gradient and the rows in use no longer fit a first cache of 48 kB."""

AHEAD_LINES, PIPELINED_AHEAD_LINES, ABREAST_AHEAD_LINES, LINE_AHEAD_LINES = 64, 96, 128, 32
"""How far ahead memory is asked for: half and double of it are slower, or no faster."""

Kind = tuple[int, ...]
"""Which loop takes the rows, if their layout does not say it: a tuple for its length, which the
compiler knows, so that it compiles that loop and no other. What it holds counts for one
feature alone, whose two loops are both compiled."""

LINE, LINE_ASKING = (0,), (1,)
FEW, TWO, FOUR, STREAMS, PIPELINED, ABREAST = range(1, 7)
"""Lengths of a `Kind`."""

SHARED_BYTES = range(1 << 20, 1 << 24)
"""A thread's rows of one feature that may come from the cache that processors share."""

TRIED_BYTES, TRIED_STEPS = 1 << 25, 4
"""With which a thread finds the faster of two loops: more than the caches hold, a few times,
or what they hold so much oftener."""

TRIALS, LEVEL = 8, 0.95
"""How many of each, and what part of the time counts as less. In every second or so two threads
find themselves on one processor, so that the lower quartiles are compared."""

LINE_NUMBERS = LINE_BYTES // 8
"""float64 in a cache line: no two threads write to the same."""

SERIAL_BYTES = 1 << 18
"""Data below it are faster with one thread: waking the others costs microseconds."""


@njit(cache=True, nogil=True)
def loop(x, y, w, learning_rate, steps):  # type: ignore[no-untyped-def]
    """Return w after `steps` steps: row by row, float64 sums."""
    n, d = x.shape
    for _ in range(steps):
        gradient = sums(x, y, w)
        for j in range(d):
            w[j] -= learning_rate * 2.0 / n * gradient[j]
    return w


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
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


@njit(cache=True, fastmath=VECTORISE, forceinline=True)
def line_sum(x, y, w):  # type: ignore[no-untyped-def]
    """Return ``Σ x·(x·w − y)`` of one feature, in the data's dtype."""
    total = x.dtype.type(0)
    for i in range(len(x)):
        total += x[i] * (x[i] * w - y[i])
    return total


@njit(cache=True)
def line_sum_ahead(x, y, w):  # type: ignore[no-untyped-def]
    """Return the same, asking for both ahead of their use."""
    lanes = lanes_of(x)
    line = LINE_BYTES // VECTOR_BYTES * lanes
    weight, minus, none = spread(w), spread(x.dtype.type(-1)), spread(x.dtype.type(0))
    s0 = s1 = s2 = s3 = none
    quads = len(x) // (4 * lanes)
    for k in range(quads):
        i = 4 * k * lanes
        for ahead in range(
            i + LINE_AHEAD_LINES * line, i + (LINE_AHEAD_LINES + 2) * line, line
        ):
            prefetch(x, ahead)
            prefetch(y, ahead)
        x0, x1 = load(x, i), load(x, i + lanes)
        x2, x3 = load(x, i + 2 * lanes), load(x, i + 3 * lanes)
        r0 = multiply_add(load(y, i), minus, none)
        r1 = multiply_add(load(y, i + lanes), minus, none)
        r2 = multiply_add(load(y, i + 2 * lanes), minus, none)
        r3 = multiply_add(load(y, i + 3 * lanes), minus, none)
        s0 = multiply_add(x0, multiply_add(x0, weight, r0), s0)
        s1 = multiply_add(x1, multiply_add(x1, weight, r1), s1)
        s2 = multiply_add(x2, multiply_add(x2, weight, r2), s2)
        s3 = multiply_add(x3, multiply_add(x3, weight, r3), s3)
    total = (sum_lanes(s0) + sum_lanes(s1)) + (sum_lanes(s2) + sum_lanes(s3))
    for i in range(4 * quads * lanes, len(x)):
        total += x[i] * (x[i] * w - y[i])
    return total


@njit(cache=True, forceinline=True)
def line_total(x, y, w, kind):  # type: ignore[no-untyped-def]
    """Return ``Σ x·(x·w − y)`` of one feature, float64 across blocks of rows."""
    total, cast = 0.0, x.dtype.type(w)
    for start in range(0, len(x), LINE_ROWS):
        stop = min(start + LINE_ROWS, len(x))
        if kind[0]:
            total += line_sum_ahead(x[start:stop], y[start:stop], cast)
        else:
            total += line_sum(x[start:stop], y[start:stop], cast)
    return total


@njit(cache=True)
def add_two(flat, y, w, total, start, stop, apart):  # type: ignore[no-untyped-def]
    """Rows of two numbers, from two places: of each as many at a time as a vector holds.

    A vector holds one feature of them; weights and sums stay in registers. What the
    compiler makes of a plain loop reads memory a tenth slower, as does one that asks for
    nothing.
    """
    lanes, minus = lanes_of(flat), spread(w.dtype.type(-1))
    line = LINE_BYTES // VECTOR_BYTES * lanes
    s0 = s1 = none = spread(w.dtype.type(0))
    w0, w1 = spread(w[0]), spread(w[1])
    for i in range(start, stop, lanes):
        for j in (i, i + apart):
            prefetch(flat, 2 * j + LINE_AHEAD_LINES * line)
            x0, x1 = load_every(flat, 2 * j, 2, 0), load_every(flat, 2 * j, 2, 1)
            r = multiply_add(load(y, j), minus, none)
            r = multiply_add(x1, w1, multiply_add(x0, w0, r))
            s0, s1 = multiply_add(x0, r, s0), multiply_add(x1, r, s1)
    total[0] += sum_lanes(s0)
    total[1] += sum_lanes(s1)


@njit(cache=True)
def add_three(flat, y, w, total, start, stop, apart):  # type: ignore[no-untyped-def]
    """Rows of three numbers, the same."""
    lanes, minus = lanes_of(flat), spread(w.dtype.type(-1))
    line = LINE_BYTES // VECTOR_BYTES * lanes
    s0 = s1 = s2 = none = spread(w.dtype.type(0))
    w0, w1, w2 = spread(w[0]), spread(w[1]), spread(w[2])
    for i in range(start, stop, lanes):
        for j in (i, i + apart):
            prefetch(flat, 3 * j + LINE_AHEAD_LINES * line)
            prefetch(flat, 3 * j + (LINE_AHEAD_LINES + 1) * line)
            x0, x1 = load_every(flat, 3 * j, 3, 0), load_every(flat, 3 * j, 3, 1)
            x2 = load_every(flat, 3 * j, 3, 2)
            r = multiply_add(load(y, j), minus, none)
            r = multiply_add(x2, w2, multiply_add(x1, w1, multiply_add(x0, w0, r)))
            s0, s1 = multiply_add(x0, r, s0), multiply_add(x1, r, s1)
            s2 = multiply_add(x2, r, s2)
    total[0] += sum_lanes(s0)
    total[1] += sum_lanes(s1)
    total[2] += sum_lanes(s2)


@njit(cache=True)
def add_four(flat, y, w, total, start, stop, apart):  # type: ignore[no-untyped-def]
    """Rows of four numbers, the same."""
    lanes, minus = lanes_of(flat), spread(w.dtype.type(-1))
    line = LINE_BYTES // VECTOR_BYTES * lanes
    s0 = s1 = s2 = s3 = none = spread(w.dtype.type(0))
    w0, w1, w2, w3 = spread(w[0]), spread(w[1]), spread(w[2]), spread(w[3])
    for i in range(start, stop, lanes):
        for j in (i, i + apart):
            prefetch(flat, 4 * j + LINE_AHEAD_LINES * line)
            prefetch(flat, 4 * j + (LINE_AHEAD_LINES + 1) * line)
            x0, x1 = load_every(flat, 4 * j, 4, 0), load_every(flat, 4 * j, 4, 1)
            x2, x3 = load_every(flat, 4 * j, 4, 2), load_every(flat, 4 * j, 4, 3)
            r = multiply_add(load(y, j), minus, none)
            r = multiply_add(x1, w1, multiply_add(x0, w0, r))
            r = multiply_add(x3, w3, multiply_add(x2, w2, r))
            s0, s1 = multiply_add(x0, r, s0), multiply_add(x1, r, s1)
            s2, s3 = multiply_add(x2, r, s2), multiply_add(x3, r, s3)
    total[0] += sum_lanes(s0)
    total[1] += sum_lanes(s1)
    total[2] += sum_lanes(s2)
    total[3] += sum_lanes(s3)


@njit(cache=True)
def add_few(x, y, w, total):  # type: ignore[no-untyped-def]
    """Two to four features, x of shape (n, d): the halves of the rows side by side."""
    n, d = x.shape
    flat, lanes = x.reshape(n * d), lanes_of(x)
    apart = n // (2 * lanes) * lanes
    for start in range(0, apart, LINE_ROWS // 2):
        stop = min(start + LINE_ROWS // 2, apart)
        if d == 2:
            add_two(flat, y, w, total, start, stop, apart)
        elif d == 3:
            add_three(flat, y, w, total, start, stop, apart)
        else:
            add_four(flat, y, w, total, start, stop, apart)
    add_one_by_one(x, y, w, total, 2 * apart)


@njit(cache=True)
def add_one_by_one(x, y, w, total, first):  # type: ignore[no-untyped-def]
    """Add the rows from `first` on, which are few."""
    n, d = x.shape
    for i in range(first, n):
        residual = dot(x[i], w) - y[i]
        for j in range(d):
            total[j] += residual * x[i, j]


@njit(cache=True, fastmath=VECTORISE)
def add_eight(x0, x1, x2, x3, x4, x5, x6, x7, y, w, total):  # type: ignore[no-untyped-def]
    """One sweep over eight columns; weights, sums and residual stay in registers."""
    w0, w1, w2, w3, w4, w5, w6, w7 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = w.dtype.type(0)
    for i in range(len(y)):
        first = (x0[i] * w0 + x1[i] * w1) + (x2[i] * w2 + x3[i] * w3)
        second = (x4[i] * w4 + x5[i] * w5) + (x6[i] * w6 + x7[i] * w7)
        residual = first + second - y[i]
        s0 += x0[i] * residual
        s1 += x1[i] * residual
        s2 += x2[i] * residual
        s3 += x3[i] * residual
        s4 += x4[i] * residual
        s5 += x5[i] * residual
        s6 += x6[i] * residual
        s7 += x7[i] * residual
    total[0] += s0
    total[1] += s1
    total[2] += s2
    total[3] += s3
    total[4] += s4
    total[5] += s5
    total[6] += s6
    total[7] += s7


@njit(cache=True)
def add_columns(x, y, w, total):  # type: ignore[no-untyped-def]
    """Five to eight features, x of shape (blocks, d, rows): a block's columns side by side.

    Columns that are missing to eight are one block of zeros, which stays in the
    first-level cache and costs no memory traffic.
    """
    blocks, d, rows = x.shape
    none = np.zeros(rows, x.dtype)
    weights, sums = np.zeros(8, x.dtype), np.zeros(8)
    for j in range(d):
        weights[j] = w[j]
    for b in range(blocks):
        x0, x1, x2, x3, x4 = x[b, 0], x[b, 1], x[b, 2], x[b, 3], x[b, 4]
        x5 = x[b, 5] if d > 5 else none
        x6 = x[b, 6] if d > 6 else none
        x7 = x[b, 7] if d > 7 else none
        add_eight(x0, x1, x2, x3, x4, x5, x6, x7, y[b], weights, sums)
    for j in range(d):
        total[j] += sums[j]


@njit(cache=True, fastmath=VECTORISE)
def dot(a, b):  # type: ignore[no-untyped-def]
    """Return ``a·b``."""
    total = a.dtype.type(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@njit(cache=True)
def add_two_vectors(flat, d, y, w, gradient, start, stop, apart):  # type: ignore[no-untyped-def]
    """Rows of up to `TWO_BYTES`, from two places: loaded once, and all else is in registers."""
    lanes, zero = lanes_of(flat), spread(w.dtype.type(0))
    line = LINE_BYTES // VECTOR_BYTES * lanes
    w0, w1 = load(w, 0), load(w, lanes)
    g0, g1 = load(gradient, 0), load(gradient, lanes)
    h0 = h1 = zero
    for i in range(start, stop):
        x, z = i * d, (i + apart) * d
        x0, x1 = load(flat, x), load(flat, x + lanes)
        z0, z1 = load(flat, z), load(flat, z + lanes)
        prefetch(flat, x + AHEAD_LINES * line)
        prefetch(flat, z + AHEAD_LINES * line)
        s = multiply_add(x0, w0, multiply_add(x1, w1, zero))
        t = multiply_add(z0, w0, multiply_add(z1, w1, zero))
        r, u = spread(sum_lanes(s) - y[i]), spread(sum_lanes(t) - y[i + apart])
        g0, g1 = multiply_add(x0, r, g0), multiply_add(x1, r, g1)
        h0, h1 = multiply_add(z0, u, h0), multiply_add(z1, u, h1)
    one = spread(w.dtype.type(1))
    store(gradient, 0, multiply_add(g0, one, h0))
    store(gradient, lanes, multiply_add(g1, one, h1))


@njit(cache=True)
def add_four_vectors(flat, d, y, w, gradient, start, stop, apart):  # type: ignore[no-untyped-def]
    """Rows of up to `FOUR_BYTES`, the same."""
    lanes, zero = lanes_of(flat), spread(w.dtype.type(0))
    line = LINE_BYTES // VECTOR_BYTES * lanes
    w0, w1, w2, w3 = load(w, 0), load(w, lanes), load(w, 2 * lanes), load(w, 3 * lanes)
    g0, g1 = load(gradient, 0), load(gradient, lanes)
    g2, g3 = load(gradient, 2 * lanes), load(gradient, 3 * lanes)
    for i in range(start, stop):
        x, z = i * d, (i + apart) * d
        x0, x1 = load(flat, x), load(flat, x + lanes)
        x2, x3 = load(flat, x + 2 * lanes), load(flat, x + 3 * lanes)
        z0, z1 = load(flat, z), load(flat, z + lanes)
        z2, z3 = load(flat, z + 2 * lanes), load(flat, z + 3 * lanes)
        for k in range(AHEAD_LINES, AHEAD_LINES + 2):
            prefetch(flat, x + k * line)
            prefetch(flat, z + k * line)
        s = multiply_add(x2, w2, multiply_add(x3, w3, zero))
        t = multiply_add(z2, w2, multiply_add(z3, w3, zero))
        s = multiply_add(x0, w0, multiply_add(x1, w1, s))
        t = multiply_add(z0, w0, multiply_add(z1, w1, t))
        r, u = spread(sum_lanes(s) - y[i]), spread(sum_lanes(t) - y[i + apart])
        g0 = multiply_add(z0, u, multiply_add(x0, r, g0))
        g1 = multiply_add(z1, u, multiply_add(x1, r, g1))
        g2 = multiply_add(z2, u, multiply_add(x2, r, g2))
        g3 = multiply_add(z3, u, multiply_add(x3, r, g3))
    store(gradient, 0, g0)
    store(gradient, lanes, g1)
    store(gradient, 2 * lanes, g2)
    store(gradient, 3 * lanes, g3)


@njit(cache=True, forceinline=True)
def plus_four(g, flat, j, x0, r0, x1, r1, x2, r2, x3, r3):  # type: ignore[no-untyped-def]
    """Return the gradient's vector with four rows', at j, added: each times its residual."""
    g = multiply_add(load(flat, x0 + j), r0, g)
    g = multiply_add(load(flat, x1 + j), r1, g)
    g = multiply_add(load(flat, x2 + j), r2, g)
    return multiply_add(load(flat, x3 + j), r3, g)


@njit(cache=True)
def add_streams(flat, d, y, w, gradient, start, stop, apart):  # type: ignore[no-untyped-def]
    """Rows from four places side by side; they share the loads of w and of the gradient.

    The hardware asks for what comes next of each: it follows several streams, if they are
    not within a page.
    """
    lanes = lanes_of(flat)
    none = spread(w.dtype.type(0))
    for i in range(start, stop):
        i1, i2, i3 = i + apart, i + 2 * apart, i + 3 * apart
        x0, x1, x2, x3 = i * d, i1 * d, i2 * d, i3 * d
        s0 = s1 = s2 = s3 = none
        for j in range(0, len(w), lanes):
            weights = load(w, j)
            s0 = multiply_add(load(flat, x0 + j), weights, s0)
            s1 = multiply_add(load(flat, x1 + j), weights, s1)
            s2 = multiply_add(load(flat, x2 + j), weights, s2)
            s3 = multiply_add(load(flat, x3 + j), weights, s3)
        r0, r1 = spread(sum_lanes(s0) - y[i]), spread(sum_lanes(s1) - y[i1])
        r2, r3 = spread(sum_lanes(s2) - y[i2]), spread(sum_lanes(s3) - y[i3])
        for j in range(0, len(w), lanes):
            g = load(gradient, j)
            store(gradient, j, plus_four(g, flat, j, x0, r0, x1, r1, x2, r2, x3, r3))


@njit(cache=True, forceinline=True)
def plus_two(g, flat, x, r0, d, r1):  # type: ignore[no-untyped-def]
    """Return the gradient's vector with two rows added, from `x` and the next: each times r."""
    return multiply_add(load(flat, x + d), r1, multiply_add(load(flat, x), r0, g))


@njit(cache=True)
def add_pipelined(flat, d, y, w, gradient, start, stop):  # type: ignore[no-untyped-def]
    """Rows in order: while one is read, half of the last two's columns go to the gradient.

    So memory never rests. All rows are read by the same instructions, since a processor that
    foresees what an instruction will read then sees a single stream: with a copy of the inner
    loop for every other row an EPYC 9005 takes an eighth longer.
    """
    lanes = lanes_of(flat)
    line = LINE_BYTES // VECTOR_BYTES * lanes
    ahead, pieces = PIPELINED_AHEAD_LINES * line, len(w) // (4 * lanes)
    none, one = spread(w.dtype.type(0)), spread(w.dtype.type(1))
    x0, r0, r1, last = start * d, none, none, none
    for i in range(start, stop):
        x, second = i * d, (i - start) % 2
        half = second * pieces * 2 * lanes
        s0 = s1 = s2 = s3 = none
        for k in range(pieces):
            j = 4 * k * lanes
            prefetch(flat, x + j + ahead)
            prefetch(flat, x + j + ahead + line)
            s0 = multiply_add(load(flat, x + j), load(w, j), s0)
            s1 = multiply_add(load(flat, x + j + lanes), load(w, j + lanes), s1)
            s2 = multiply_add(load(flat, x + j + 2 * lanes), load(w, j + 2 * lanes), s2)
            s3 = multiply_add(load(flat, x + j + 3 * lanes), load(w, j + 3 * lanes), s3)
            j = half + 2 * k * lanes
            store(gradient, j, plus_two(load(gradient, j), flat, x0 + j, r0, d, r1))
            j += lanes
            store(gradient, j, plus_two(load(gradient, j), flat, x0 + j, r0, d, r1))
        s0, s2 = multiply_add(s0, one, s1), multiply_add(s2, one, s3)
        residual = spread(sum_lanes(multiply_add(s0, one, s2)) - y[i])
        if second:
            x0, r0, r1 = x - d, last, residual
        last = residual
    for j in range(0, len(w), lanes):
        store(gradient, j, plus_two(load(gradient, j), flat, x0 + j, r0, d, r1))


@njit(cache=True)
def add_abreast(flat, d, y, w, gradient, start, stop):  # type: ignore[no-untyped-def]
    """Eight long rows side by side: w and the gradient, which no first cache keeps, go by once.

    The hardware does not follow eight streams, so the next eight rows are asked for in order,
    half of their lines in the dot products and half in the sweep.
    """
    lanes = 2 * lanes_of(flat)
    none = spread_wide(w.dtype.type(0))
    for i in range(start, stop, 8):
        x0 = i * d
        x1, x2, x3, x4 = x0 + d, x0 + 2 * d, x0 + 3 * d, x0 + 4 * d
        x5, x6, x7 = x0 + 5 * d, x0 + 6 * d, x0 + 7 * d
        ahead = x0 + 8 * d + ABREAST_AHEAD_LINES * lanes
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = none
        for j in range(0, len(w), lanes):
            for k in range(4):
                prefetch_far(flat, ahead + 4 * j + k * lanes)
            weights = load_wide(w, j)
            s0 = multiply_add(load_wide(flat, x0 + j), weights, s0)
            s1 = multiply_add(load_wide(flat, x1 + j), weights, s1)
            s2 = multiply_add(load_wide(flat, x2 + j), weights, s2)
            s3 = multiply_add(load_wide(flat, x3 + j), weights, s3)
            s4 = multiply_add(load_wide(flat, x4 + j), weights, s4)
            s5 = multiply_add(load_wide(flat, x5 + j), weights, s5)
            s6 = multiply_add(load_wide(flat, x6 + j), weights, s6)
            s7 = multiply_add(load_wide(flat, x7 + j), weights, s7)
        r0, r1 = spread_wide(sum_lanes(s0) - y[i]), spread_wide(sum_lanes(s1) - y[i + 1])
        r2, r3 = spread_wide(sum_lanes(s2) - y[i + 2]), spread_wide(sum_lanes(s3) - y[i + 3])
        r4, r5 = spread_wide(sum_lanes(s4) - y[i + 4]), spread_wide(sum_lanes(s5) - y[i + 5])
        r6, r7 = spread_wide(sum_lanes(s6) - y[i + 6]), spread_wide(sum_lanes(s7) - y[i + 7])
        ahead += 4 * d
        for j in range(0, len(w), lanes):
            for k in range(4):
                prefetch_far(flat, ahead + 4 * j + k * lanes)
            g = multiply_add(load_wide(flat, x0 + j), r0, load_wide(gradient, j))
            g = multiply_add(load_wide(flat, x1 + j), r1, g)
            g = multiply_add(load_wide(flat, x2 + j), r2, g)
            g = multiply_add(load_wide(flat, x3 + j), r3, g)
            g = multiply_add(load_wide(flat, x4 + j), r4, g)
            g = multiply_add(load_wide(flat, x5 + j), r5, g)
            g = multiply_add(load_wide(flat, x6 + j), r6, g)
            store(gradient, j, multiply_add(load_wide(flat, x7 + j), r7, g))


@njit(cache=True)
def zeros_on_lines(count, like):  # type: ignore[no-untyped-def]
    """Return so many zeros of the dtype of `like` that begin at a cache line."""
    lanes = LINE_BYTES // VECTOR_BYTES * lanes_of(like)
    room = np.zeros(count + lanes, like.dtype)
    first = -room.ctypes.data % LINE_BYTES // like.itemsize
    return room[first : first + count]


@njit(cache=True)
def add_rows(x, y, w, total, kind):  # type: ignore[no-untyped-def]
    """Many features, x of shape (n, d): blocks of rows, or of the parts read side by side.

    A row is read to the next multiple of what a loop takes at a time, that is
    into the row behind it, with weights of zero there: no element is left to a
    scalar loop. The last rows, which have none behind them, go one by one.
    """
    n, d = x.shape
    flat, row_bytes = x.reshape(n * d), d * x.itemsize
    parts, vectors = 1, 4
    if len(kind) == TWO:
        parts, vectors = 2, 2
    elif len(kind) == FOUR:
        parts = 2
    elif len(kind) == STREAMS:
        parts, vectors = 4, 1
    elif len(kind) == ABREAST:
        vectors = 2
    lanes = vectors * lanes_of(x)
    width = -(-d // lanes) * lanes
    weights, block = zeros_on_lines(width, x), zeros_on_lines(width, x)
    for j in range(d):
        weights[j] = w[j]
    whole = max(0, n - width // d) // 8 * 8
    apart, rows = whole // parts, max(BLOCK_ROWS, BLOCK_BYTES // row_bytes // 8 * 8) // parts
    for start in range(0, apart, rows):
        stop = min(start + rows, apart)
        for j in range(width):
            block[j] = 0
        if len(kind) == TWO:
            add_two_vectors(flat, d, y, weights, block, start, stop, apart)
        elif len(kind) == FOUR:
            add_four_vectors(flat, d, y, weights, block, start, stop, apart)
        elif len(kind) == STREAMS:
            add_streams(flat, d, y, weights, block, start, stop, apart)
        elif len(kind) == PIPELINED:
            add_pipelined(flat, d, y, weights, block, start, stop)
        else:
            add_abreast(flat, d, y, weights, block, start, stop)
        for j in range(d):
            total[j] += block[j]
    add_one_by_one(x, y, w, total, whole)


@njit(cache=True)
def add_sums(x, y, w, total, kind):  # type: ignore[no-untyped-def]
    """Add ``xᵀ(x·w − y)`` to the float64 `total`, (d,); x.ndim and `kind` tell the loop."""
    if x.ndim == 1:
        total[0] += line_total(x, y, w[0], kind)
    elif x.ndim == 3:
        add_columns(x, y, w.astype(x.dtype), total)
    elif len(kind) == FEW:
        add_few(x, y, w.astype(x.dtype), total)
    else:
        add_rows(x, y, w.astype(x.dtype), total, kind)


@njit(cache=True, nogil=True)
def serial_descent(x, y, w, gradient, rate, steps, kind):  # type: ignore[no-untyped-def]
    """Take steps ``w ← w − rate·xᵀ(x·w − y)`` by this thread alone; `gradient` is the last."""
    for _ in range(steps):
        if x.ndim == 1:  # a hundred rows take no longer than it does to write and read a sum
            slope = line_total(x, y, w[0], kind)
            gradient[0] = slope
            w[0] -= rate * slope
        else:
            for j in range(len(w)):
                gradient[j] = 0.0
            add_sums(x, y, w, gradient, kind)
            for j in range(len(w)):
                w[j] -= rate * gradient[j]


@njit(cache=True, nogil=True, parallel=True)
def parallel_descent(x, y, w, gradient, rate, steps, threads, kind):  # type: ignore[no-untyped-def]
    """Take the same steps: a range of rows a thread, whose sums are added up in their order.

    Nothing is made anew from step to step: with an array each, and a function to start the
    threads, a step took 4 µs longer.
    """
    d = len(w)
    width = -(-d // LINE_NUMBERS) * LINE_NUMBERS
    partial = np.empty((threads, width))
    for _ in range(steps):
        for thread in prange(threads):
            start, stop = thread * len(x) // threads, (thread + 1) * len(x) // threads
            mine = partial[thread, :d]
            for j in range(d):
                mine[j] = 0.0
            add_sums(x[start:stop], y[start:stop], w, mine, kind)
        for j in range(d):
            gradient[j] = partial[0, j]
            for thread in range(1, threads):
                gradient[j] += partial[thread, j]
            w[j] -= rate * gradient[j]


class Parallel(Plain):
    """One pass over the memory a step: vectorised, blocked, a range of rows a thread.

    The layout follows the shape. One feature is a line; five to eight are laid
    out in blocks of columns, so that a vector holds one feature of many rows;
    fewer can be sorted so in registers, and more fill vectors of their own. Small
    data are left to one thread. Sums within a block are in the data's dtype, those
    over blocks float64.
    """

    reads_pairs = True

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        self.rate = 2 * learning_rate / problem.rows
        small = problem.bytes_per_step < SERIAL_BYTES
        self.threads = 1 if small else numba.get_num_threads()
        self.laid_out = self.x, self.y
        if problem.features == 1:
            self.laid_out = self.x[:, 0], self.y
        elif MOST_FEW < problem.features <= MOST_COLUMNS and not problem.single_pass:
            self.laid_out = in_columns(self.x, self.y)

    @cached_property
    def kind(self) -> Kind:
        """Which loop takes the rows; the faster of two is found out at the first call."""
        return kind_of(*self.laid_out, self.threads)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = _start(w)
        descend(*self.laid_out, w, self.rate, steps, self.threads, self.kind)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        return descend(*self.laid_out, _start(w), 0.0, 1, self.threads, self.kind)


def descend(
    x: Array, y: Array, w: Weights, rate: float, steps: int, threads: int, kind: Kind
) -> Weights:
    """Take steps from `w` to it, by so many threads; return ``xᵀ(x·w − y)`` of the last."""
    gradient = np.zeros(len(w))
    if threads == 1:
        serial_descent(x, y, w, gradient, rate, steps, kind)
    else:
        parallel_descent(x, y, w, gradient, rate, steps, threads, kind)
    return gradient


def kind_of(x: Array, y: Array, threads: int) -> Kind:
    """Choose the loop for rows of this length, from the caches or from memory."""
    if x.ndim == 1 and (x.nbytes + y.nbytes) // threads in SHARED_BYTES:
        return faster(x, y, threads, LINE, LINE_ASKING)
    if x.ndim != 2:
        return LINE
    row_bytes = x.shape[1] * x.itemsize
    if x.shape[1] <= MOST_FEW:
        return (0,) * FEW
    if row_bytes <= FOUR_BYTES:
        return (0,) * (TWO if row_bytes <= TWO_BYTES else FOUR)
    if row_bytes < PIPELINED_BYTES or x.nbytes < threads * FAR_BYTES:
        return (0,) * STREAMS
    in_order = PIPELINED if row_bytes < ABREAST_BYTES else ABREAST
    return faster(x, y, threads, (0,) * in_order, (0,) * STREAMS)


_faster: dict[tuple[tuple[int, ...], str, int], Kind] = {}


def faster(x: Array, y: Array, threads: int, usual: Kind, other: Kind) -> Kind:
    """Return which of the two takes such rows in less time: the usual one, if they are level.

    Processors differ: what gives an EPYC 9005 a tenth costs a 7003 more. So both are tried,
    once a process.
    """
    key = x.shape, x.dtype.name, threads
    if key not in _faster:
        row_bytes, d = x.nbytes // len(x), x.size // len(x)
        rows = min(len(x) // threads, TRIED_BYTES // row_bytes)
        parts = [slice(k * rows, (k + 1) * rows) for k in range(threads)]
        steps = TRIED_STEPS * TRIED_BYTES // (rows * row_bytes)

        def seconds(kind: Kind) -> float:
            def descend_in(part: slice) -> None:
                w, gradient = np.zeros(d), np.zeros(d)
                serial_descent(x[part], y[part], w, gradient, 0.0, steps, kind)

            began = time.perf_counter()
            for _ in pool.map(descend_in, parts):
                pass
            return time.perf_counter() - began

        with ThreadPoolExecutor(threads) as pool:
            seconds(usual), seconds(other)  # compiles
            rounds = [(seconds(usual), seconds(other)) for _ in range(TRIALS)]
        least_usual, least_other = np.quantile(rounds, 0.25, axis=0)
        _faster[key] = other if least_other < LEVEL * least_usual else usual
    return _faster[key]


def in_columns(x: Array, y: Array) -> tuple[Array, Array]:
    """Copy x, (n, d), to (blocks, d, rows) and y to (blocks, rows), padded with zeros.

    A row of zeros has no residual, so it adds nothing to any sum.
    """
    n, d = x.shape
    rows = min(COLUMN_ROWS, n)
    blocks = -(-n // rows)
    columns, targets = np.empty((blocks, d, rows), x.dtype), np.empty((blocks, rows), y.dtype)
    fill_columns(x, y, columns, targets, (0,) * d)
    return _read_only(columns), _read_only(targets)


@njit(cache=True, nogil=True)
def fill_columns(x, y, columns, targets, features):  # type: ignore[no-untyped-def]
    """Copy to a block after the other, without the interpreter's lock.

    The compiler knows the length of `features`, a tuple, as it does not know a shape: with
    it, it loads whole vectors and sorts their numbers by feature in registers.
    """
    width = len(features)
    for b in range(len(columns)):
        # Slices first: an index with an offset may be negative, for all that Numba knows.
        block, target = columns[b], targets[b]
        rows = len(target)
        part, targeted = x[b * rows : (b + 1) * rows], y[b * rows : (b + 1) * rows]
        held = len(part)
        flat = part.reshape(held * width)
        for i in range(held):
            for j in range(width):
                block[j, i] = flat[i * width + j]
        block[:, held:] = 0
        target[:held] = targeted
        target[held:] = 0


@njit(cache=True, fastmath=VECTORISE)
def line_products(x, y):  # type: ignore[no-untyped-def]
    """Return ``Σ x²``, ``Σ x·y`` and ``Σ y²`` of one feature, float64 throughout."""
    xx = xy = yy = 0.0
    for i in range(len(x)):
        a, b = np.float64(x[i]), np.float64(y[i])
        xx += a * a
        xy += a * b
        yy += b * b
    return xx, xy, yy


@njit(cache=True)
def add_gram(x, y, total):  # type: ignore[no-untyped-def]
    """Add the lower half of the Gram matrix of x, (n, d), with y as one more column."""
    n, d = x.shape
    rows = max(8, BLOCK_BYTES // (8 * (d + 1)))
    for start in range(0, n, rows):
        block, targets = x[start : start + rows], y[start : start + rows]
        if d == 1:
            xx, xy, yy = line_products(block.reshape(-1), targets)
            total[0, 0] += xx
            total[1, 0] += xy
            total[1, 1] += yy
        else:
            # Features as rows: a sum of products then runs along contiguous memory.
            columns = np.empty((d + 1, len(targets)))
            for i in range(len(targets)):
                for j in range(d):
                    columns[j, i] = block[i, j]
                columns[d, i] = targets[i]
            add_products(columns, total)


@njit(cache=True)
def in_order(partial):  # type: ignore[no-untyped-def]
    """Return the sum over the first axis; numpy's own takes seconds to compile."""
    total = np.zeros_like(partial[0])
    for part in partial:
        total += part
    return total


@njit(cache=True, nogil=True, parallel=True)
def parallel_products(x, y, threads):  # type: ignore[no-untyped-def]
    """Return the Gram matrix that `add_gram` sums, float64: a range of rows a thread."""
    d = x.shape[1]
    partial = np.zeros((threads, d + 1, d + 1))
    for thread in prange(threads):
        start, stop = thread * len(x) // threads, (thread + 1) * len(x) // threads
        add_gram(x[start:stop], y[start:stop], partial[thread])
    return in_order(partial)


@njit(cache=True, fastmath=VECTORISE)
def add_products(columns, total):  # type: ignore[no-untyped-def]
    """Add ``columns @ columnsᵀ`` to `total`, four columns a sweep, each pair once."""
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
def gram_descent(xtx, xty, w, rate, steps):  # type: ignore[no-untyped-def]
    """Return w after `steps` steps ``w ← w − rate·(XᵀX·w − Xᵀy)``."""
    d = len(w)
    slope = np.empty(d)
    for _ in range(steps):
        for j in range(d):
            slope[j] = dot(xtx[j], w) - xty[j]
        for j in range(d):
            w[j] -= rate * slope[j]
    return w


class Gram(ProblemGram):
    """One pass for XᵀX and Xᵀy in float64, then a compiled loop; squared error only."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        placed = Plain(problem, learning_rate, device)
        lower = parallel_products(placed.x, placed.y, numba.get_num_threads())
        full = np.tril(lower) + np.tril(lower, -1).T
        xtx, xty = np.ascontiguousarray(full[:-1, :-1]), full[:-1, -1].copy()
        super().__init__(problem, learning_rate, (xtx, xty, float(full[-1, -1])))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        result: Weights = gram_descent(self.xtx, self.xty, _start(w), self.rate, steps)
        return result
