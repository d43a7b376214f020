"""The compiled loops over rows that add up a gradient.

Sums within a block of rows are in the data's dtype, and sums over blocks are float64. Many
functions in this module have the following parameters:

- `loop` is a `backends.numba.loops.Loop`. Its fields are constants for the compiler.
- `flat` is X as an array of one dimension.
- `ahead` is the prefetch distance in cache lines.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import overload

from backends.numba.arithmetic import (
    add_sums,
    add_to_array,
    multiply,
    multiply_add,
    sum_lanes,
    sum_products,
)
from backends.numba.emit import LINE_BYTES
from backends.numba.pointwise import evaluate
from backends.numba.vectors import (
    first_lane,
    keep_first,
    lanes_of,
    load,
    load_features,
    load_places,
    plus,
    prefetch,
    repeat,
    spaced,
    spread,
    spread_array,
    spread_lanes,
    store,
    times,
    zero_vector,
)

LINE_ROWS = 8192
"""Number of rows in a block in `feature_sums`. The sums of a block are in the data's dtype."""

BLOCK_BYTES, BLOCK_ROWS = 1 << 18, 512
"""Minimum size in bytes and minimum number of rows of a block, for data with many features."""

VECTORISE = {"reassoc", "contract", "arcp", "nsz"}
"""Optimisations that the compiler is allowed to use for plain sums. The numbers can be NaN or
infinite, which ``fastmath=True`` would not allow."""


@njit(forceinline=True)
def add_lanes(slope, flat, columns, y, ws, sums, i, keep):
    """Add the gradient of consecutive rows to `sums`, and return the new sums.

    Each lane of a SIMD vector holds one row. `i` is the number of the first row. `columns` is
    None if X is stored row by row. Otherwise `columns` is the distance between two columns in
    array elements. `keep` is the number of rows to add, or None for as many rows as there are
    lanes.
    """
    if columns is None:
        xs = load_features(flat, i, ws, keep)
    else:
        xs = load(flat, spaced(i, columns, len(ws), 1), ws[0], keep)
    p = sum_products(xs, ws, spread(0, ws[0]))
    r = evaluate(slope, p, load(y, i, ws[0], keep))
    return multiply_add(xs, keep_first(r, keep), sums)


@njit(forceinline=True)
def ask_ahead(loop, flat, columns, y, ws, i):
    """Prefetch consecutive rows, as many rows as a SIMD vector has lanes.

    `i` is the number of the first row.
    """
    if columns is None:
        prefetch(flat, loop.features * i, ws, False)
    else:
        prefetch(flat, spaced(i, columns, loop.features, 1), ws[0], False)
    if loop.features == 1:
        prefetch(y, i, ws[0], False)


@njit(forceinline=True)
def feature_sums(loop, slope, ahead, flat, columns, y, w):
    """Return the gradient for data with few features.

    A SIMD vector holds one feature of many rows. The rows are divided into `loop.places`
    ranges, and each iteration reads rows from every range.
    """
    n, none = len(y), zero_vector(flat, loop.vector_bytes)
    zeros, lanes = repeat(none, loop.features), lanes_of(none)
    ws, sums, totals = spread_array(w, zeros), zeros, repeat(0.0, loop.features)
    apart = n // (loop.places * lanes) * lanes
    ahead, rows = ahead * (LINE_BYTES // y.itemsize) // loop.features, LINE_ROWS // loop.places
    for start in range(0, apart, rows):
        if start:
            totals, sums = add_sums(totals, sums), zeros
        for i in range(start, min(start + rows, apart), lanes):
            for place in spaced(i, apart, loop.places, 1):
                if ahead:
                    ask_ahead(loop, flat, columns, y, zeros, place + ahead)
                sums = add_lanes(slope, flat, columns, y, ws, sums, place, None)
    for i in range(loop.places * apart, n, lanes):
        sums = add_lanes(slope, flat, columns, y, ws, sums, i, n - i)
    return add_sums(totals, sums)


@njit
def add_short_rows(loop, slope, ahead, flat, d, y, w, sums, start, stop, apart):
    """Add the gradient of short rows to `sums`; each row fits in one SIMD vector.

    w and the sums stay in registers.
    """
    none = zero_vector(flat, loop.vector_bytes)
    ws, g = load(w, 0, none, None), load(sums, 0, none, None)
    ahead *= LINE_BYTES // w.itemsize
    for i in range(start, stop, loop.rows):
        rows = spaced(i, apart, loop.places, loop.rows)
        places = times(rows, d)
        xs = load(flat, places, none, None)
        prefetch(flat, plus(places, ahead), none, False)
        p = sum_lanes(multiply(xs, ws))
        r = spread_lanes(evaluate(slope, p, load_places(y, rows)), none)
        g = sum_products(xs, r, g)
    store(sums, 0, g)


@njit
def add_long_rows(loop, slope, ahead, flat, d, y, w, sums, start, stop, apart):
    """Add the gradient of long rows to `sums`; each row fills many SIMD vectors.

    Each iteration adds `loop.rows` rows from each of `loop.places` ranges. If `loop.asks` is
    true, each iteration also prefetches rows for a later iteration.
    """
    none = zero_vector(flat, loop.vector_bytes)
    lanes, ahead = lanes_of(none), ahead * LINE_BYTES // w.itemsize
    for i in range(start, stop, loop.rows):
        rows = spaced(i, apart, loop.places, loop.rows)
        places = times(rows, d)
        asked = plus(times(spaced(i + loop.rows, apart, loop.places, 1), d), ahead)
        s = repeat(none, loop.abreast)
        for j in range(0, len(w), lanes):
            if loop.asks:
                prefetch(flat, plus(asked, loop.asked * j), repeat(none, loop.asked), loop.far)
            s = multiply_add(load(flat, plus(places, j), none, None), load(w, j, none, None), s)
        r = spread_lanes(evaluate(slope, sum_lanes(s), load_places(y, rows)), none)
        asked = plus(asked, loop.asked * d)
        for j in range(0, len(w), lanes):
            if loop.asks and loop.rows > 1:
                more = plus(asked, loop.asked_later * j)
                prefetch(flat, more, repeat(none, loop.asked_later), loop.far)
            xs = load(flat, plus(places, j), none, None)
            store(sums, j, sum_products(xs, r, load(sums, j, none, None)))


@njit
def zeros_on_lines(count, like):
    """Return an array of `count` zeros that begins at a cache line."""
    room = np.zeros(count + LINE_BYTES // like.itemsize, like.dtype)
    first = -room.ctypes.data % LINE_BYTES // like.itemsize
    return room[first : first + count]


@njit(fastmath=VECTORISE)
def dot(a, b):
    """Return ``a·b``."""
    total = a.dtype.type(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@njit
def add_single_rows(slope, x, y, w, none, total, first):
    """Add the gradient of the remaining rows, from row `first` on, to `total`, one by one."""
    n, d = x.shape
    for i in range(first, n):
        p = spread(dot(x[i], w), none)  # a vector keeps its dtype; a slope may widen a number
        r = first_lane(evaluate(slope, p, spread(y[i], none)))
        for j in range(d):
            total[j] += r * x[i, j]


def add_block(loop, slope, ahead, flat, d, y, w, sums, start, stop, apart):
    """Add the gradient of a block of rows to `sums`."""
    raise NotImplementedError  # only compiled functions call it


@overload(add_block, inline="always")
def _add_block(loop, slope, ahead, flat, d, y, w, sums, start, stop, apart):
    if loop.value.attributes["whole_rows"]:
        return lambda loop, slope, ahead, flat, d, y, w, sums, start, stop, apart: (
            add_short_rows(loop, slope, ahead, flat, d, y, w, sums, start, stop, apart)
        )
    return lambda loop, slope, ahead, flat, d, y, w, sums, start, stop, apart: add_long_rows(
        loop, slope, ahead, flat, d, y, w, sums, start, stop, apart
    )


@njit
def add_rows(loop, slope, ahead, x, y, w, total):
    """Add the gradient to `total`, block by block; x has the shape (n, d).

    Only whole vectors are read, so the last vector of a row can reach into the next row. The
    numbers of the next row are multiplied by weights of zero. The last rows are added one by
    one, because no row follows them.
    """
    n, d = x.shape
    flat, none = x.reshape(n * d), zero_vector(x, loop.vector_bytes)
    lanes = lanes_of(none)
    width = -(-d // lanes) * lanes
    weights, block = zeros_on_lines(width, x), zeros_on_lines(width, x)
    for j in range(d):
        weights[j] = w[j]
    apart = max(0, n - width // d) // (loop.places * loop.rows) * loop.rows
    rows = (
        max(BLOCK_ROWS, BLOCK_BYTES // (d * x.itemsize))
        // (loop.places * loop.rows)
        * loop.rows
    )
    for start in range(0, apart, rows):
        stop = min(start + rows, apart)
        for j in range(width):
            block[j] = 0
        add_block(loop, slope, ahead, flat, d, y, weights, block, start, stop, apart)
        for j in range(d):
            total[j] += block[j]
    add_single_rows(slope, x, y, weights[:d], none, total, loop.places * apart)


def add_gradient(loop, slope, ahead, x, y, w, total):
    """Add the gradient ``Σ slope(xᵢ·w, yᵢ)·xᵢ`` to the float64 array `total`.

    `backends.numba.loops.candidates` lists the possible shapes of x.
    """
    raise NotImplementedError  # only compiled functions call it


@overload(add_gradient)
def _add_gradient(loop, slope, ahead, x, y, w, total):
    if x.ndim == 1:
        return lambda loop, slope, ahead, x, y, w, total: add_to_array(
            total, feature_sums(loop, slope, ahead, x, None, y, w)
        )
    if x.ndim == 3:
        return add_columns
    if loop.value.attributes["features"] == 1:
        return add_rows.py_func
    return lambda loop, slope, ahead, x, y, w, total: add_to_array(
        total,
        feature_sums(loop, slope, ahead, x.reshape(x.shape[0] * x.shape[1]), None, y, w),
    )


def add_columns(loop, slope, ahead, x, y, w, total):
    """Add the gradient to `total`; x has the shape (blocks, d, rows).

    Each block contains all features of consecutive rows, stored by column. The last block can
    have fewer rows than the other blocks.
    """
    d, rows = x.shape[1:]
    for b in range(len(x)):
        targets = y[b * rows : (b + 1) * rows]
        block = x[b].reshape(d * rows)
        add_to_array(total, feature_sums(loop, slope, ahead, block, rows, targets, w))
