"""Lay out rows for JAX, and compute predictions and losses in these layouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from backends.losses import SQUARED_ERROR, Loss
from backends.problem import Array, Problem

BLOCK_ROWS = 8192
"""Largest number of rows in a block of many features: few enough for accurate float32 sums."""


MOST_COLUMNS = 8
"""Largest number of features that are stored as separate columns."""


Data = jax.Array | tuple[jax.Array, ...]
"""X as blocks of rows, (blocks, rows, d), as a single block, (rows, d), or as a tuple of
columns, (n,) each, or (ROWS_PER_LANE, lanes) as `in_lanes` returns them."""


def predictions(w: jax.Array, x: Data, transposed: bool = False) -> jax.Array:
    """Return the prediction of each row in the data's dtype, for x in a layout of `Data`.

    If `transposed`, x is a single block of shape (d, rows).

    XLA fuses the element-wise work on columns with the sums. For many features, XLA's product
    sums row after row, and at 10⁶ float32 rows the fifth digit would be wrong. Therefore every
    block has its own copy of w in the data's dtype. The gradient of a block is then summed in
    the data's dtype, and the gradients of the blocks are summed in float64, the dtype of w. The
    setting ``HIGHEST`` keeps a GPU from rounding float32 to ten bits (TF32).
    """
    if isinstance(x, tuple):
        columns = (c * w[j].astype(c.dtype) for j, c in enumerate(x))
        return reduce(jnp.add, columns)
    if x.ndim == 2:
        return w.astype(x.dtype) @ x if transposed else x @ w.astype(x.dtype)
    copies = jnp.broadcast_to(w, (len(x), len(w))).astype(x.dtype)
    return jnp.einsum("brd,bd->br", x, copies, precision=lax.Precision.HIGHEST)


def values_of(loss: Loss) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return a function that computes the loss of each row from predictions and targets."""
    if loss == SQUARED_ERROR:
        return lambda prediction, y: (prediction - y) ** 2
    return lambda prediction, y: loss.value(jnp, prediction, y)


def total_of(values: jax.Array, rows: int | jax.Array, first: int | jax.Array = 0) -> jax.Array:
    """Return the float64 sum of the values whose row, counted from `first`, is below `rows`.

    All other values belong to padding rows.
    """
    number = first + jnp.arange(values.size).reshape(values.shape)
    return jnp.where(number < rows, values, 0).sum(dtype=jnp.float64)


def in_blocks(x: Array, y: Array) -> tuple[Array, Array]:
    """Return rows of many features as (blocks, rows, d) and (blocks, rows).

    The last block is padded with rows of zeros, which add nothing to a gradient.
    """
    blocks = -(-len(y) // BLOCK_ROWS)
    rows = -(-len(y) // blocks)
    x, y = filled_up(x, y, blocks * rows)
    return x.reshape(blocks, rows, -1), y.reshape(blocks, rows)


def filled_up(x: Array, y: Array, rows: int) -> tuple[Array, Array]:
    """Return x and y with `rows` rows, after adding rows of zeros where rows are missing."""
    return (x, y) if len(y) == rows else (padded(x, rows), padded(y, rows))


def laid_out(problem: Problem) -> tuple[Array | tuple[Array, ...], Array]:
    """Return X and y: up to `MOST_COLUMNS` features as columns, more features as blocks."""
    x, y = problem.x, problem.y
    if problem.features > MOST_COLUMNS:
        return in_blocks(x, y)
    columns = x.reshape(problem.rows, problem.features).T
    return tuple(np.ascontiguousarray(column) for column in columns), y


LANES = 512
"""Number of rows in a block of data with one feature. Each position in a block has its
own sum over the blocks, so XLA vectorises the sums."""


ALIGNMENT = 64
"""Alignment in bytes: JAX uses an array without a copy if its address is a multiple of it."""


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array whose alignment lets JAX use it without a copy."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def padded(values: Array, rows: int) -> Array:
    """Return an aligned copy of the values, with `rows` rows; missing rows are zeros."""
    result = aligned((rows, *values.shape[1:]), values.dtype)
    result[: len(values)] = values
    result[len(values) :] = 0
    return result


def at_boundary(values: Array) -> Array:
    """Return the array if JAX uses it without a copy; otherwise return an aligned copy.

    The copy is made two to three times as fast as JAX's own copy, which is in small memory
    pages. On Linux, large arrays of NumPy are in huge pages.
    """
    if values.ctypes.data % ALIGNMENT == 0 and values.flags.c_contiguous:
        return values
    return padded(values, len(values))


ROWS_PER_LANE = 4
"""Number of rows in a lane: with more rows, XLA's compiled loop reads from so many places at
once that it is slower."""


HALVINGS = 4
"""Number of times that one compiled loop halves the number of lanes. It adds up the sums of 16
lanes, and compiles faster than one addition of 16 sums."""


LANES_BYTES = 1 << 25
"""Largest size in bytes of the sums of all lanes: 32 MiB. Larger sums would be written to
memory and read again, which takes longer than the lanes save."""


FEW_LANES = 1000
"""Number of lanes up to which XLA adds up their sums one after the other: this takes 1 µs."""


def fit_lanes(problem: Problem) -> bool:
    """Return whether the sums of all lanes are small enough."""
    lanes = -(-problem.rows // ROWS_PER_LANE)
    return lanes * problem.features * problem.x.itemsize <= LANES_BYTES


def in_lanes(problem: Problem) -> tuple[tuple[Array, ...], Array]:
    """Return X as a tuple of columns and y, each of shape (ROWS_PER_LANE, lanes).

    Missing rows are zeros. The number of lanes can be halved, `HALVINGS` times each time, until
    it is at most `FEW_LANES`.
    """
    lanes, multiple = -(-problem.rows // ROWS_PER_LANE), 1
    while lanes > FEW_LANES:
        lanes, multiple = -(-lanes // 2**HALVINGS), multiple * 2**HALVINGS
    lanes *= multiple

    def spread(column: Array) -> Array:
        return padded(column, ROWS_PER_LANE * lanes).reshape(ROWS_PER_LANE, lanes)

    columns = problem.x.reshape(problem.rows, problem.features).T
    return tuple(map(spread, columns)), spread(problem.y)


def over_lanes(
    gradient: Callable[..., jax.Array],
    w: jax.Array,
    x: tuple[jax.Array, ...],
    y: jax.Array,
    rows: int,
) -> jax.Array:
    """Return the sum of ``gradient(w, x, y, rows)`` over data of `in_lanes`.

    XLA's sum of n values is slow. Therefore every lane has its own copy of w and its own
    gradient, so that nearly all work is element-wise: XLA vectorises it and divides it among
    its threads. Further element-wise passes halve the number of lanes `HALVINGS` times each. At
    most ``ROWS_PER_LANE * 2**(k * HALVINGS)`` rows are summed in the data's dtype, in k + 1
    passes. The last sums have the dtype of w.
    """
    copies = jnp.broadcast_to(w[:, None].astype(y.dtype), (len(w), y.shape[1]))
    one_each = (
        gradient(copies, tuple(column[row] for column in x), y[row], rows)
        for row in range(ROWS_PER_LANE)
    )
    sums = reduce(jnp.add, one_each)
    while sums.shape[1] > FEW_LANES:
        for _ in range(HALVINGS):
            half = sums.shape[1] // 2
            sums = sums[:, :half] + sums[:, half:]
    return sums.sum(axis=1, dtype=w.dtype)
