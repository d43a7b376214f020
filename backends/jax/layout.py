"""Arrange rows in the layouts that JAX computes with fast, and compute predictions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from backends.losses import SQUARED_ERROR, Loss
from backends.problem import Array, Problem

BLOCK_ROWS = 8192
"""Largest number of rows in a block of many features. Longer float32 sums lose digits."""


MOST_COLUMNS = 8
"""Largest number of features that are stored as separate columns."""


Data = jax.Array | tuple[jax.Array, ...]
"""X in one of four layouts.

- blocks of rows, (blocks, rows, d)
- a single block, (rows, d)
- a tuple of columns, (n,) each
- a tuple of columns in lanes, (ROWS_PER_LANE, lanes) each, from `in_lanes`
"""


def predictions(w: jax.Array, x: Data, transposed: bool = False) -> jax.Array:
    """Return the prediction of each row in the data's dtype, for x in a layout of `Data`.

    If `transposed`, x is a single block of shape (d, rows).

    If x consists of several blocks, each block is multiplied by its own copy of w. JAX then
    adds the gradients of the blocks in float64. A single product would add row after row in the
    data's dtype, so that the fifth digit would be wrong at 10⁶ float32 rows.
    """
    if isinstance(x, tuple):
        columns = (c * w[j].astype(c.dtype) for j, c in enumerate(x))
        return reduce(jnp.add, columns)
    if x.ndim == 2:
        return w.astype(x.dtype) @ x if transposed else x @ w.astype(x.dtype)
    copies = jnp.broadcast_to(w, (len(x), len(w))).astype(x.dtype)
    # HIGHEST keeps a GPU from rounding float32 to ten bits (TF32)
    return jnp.einsum("brd,bd->br", x, copies, precision=lax.Precision.HIGHEST)


def values_of(loss: Loss) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return a function that computes the loss of each row from predictions and targets."""
    if loss == SQUARED_ERROR:
        return lambda prediction, y: (prediction - y) ** 2
    return lambda prediction, y: loss.value(jnp, prediction, y)


def total_of(values: jax.Array, rows: int | jax.Array, first: int | jax.Array = 0) -> jax.Array:
    """Return the float64 sum of the values, without the values of padding rows.

    The first value belongs to row number `first`. Rows from number `rows` on are padding.
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
    """Return x and y with `rows` rows; rows of zeros are added at the end if necessary."""
    return (x, y) if len(y) == rows else (padded(x, rows), padded(y, rows))


def laid_out(problem: Problem) -> tuple[Array | tuple[Array, ...], Array]:
    """Return X and y: up to `MOST_COLUMNS` features as columns, more features as blocks."""
    x, y = problem.x, problem.y
    if problem.features > MOST_COLUMNS:
        return in_blocks(x, y)
    columns = x.reshape(problem.rows, problem.features).T
    return tuple(np.ascontiguousarray(column) for column in columns), y


LANES = 512
"""Number of sums side by side for data with one feature, each over every 512th row. XLA
vectorises these sums, but not a single sum."""


ALIGNMENT = 64
"""JAX uses an array without a copy if its address is a multiple of this number of bytes."""


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array that JAX can use without a copy (see `ALIGNMENT`)."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def padded(values: Array, rows: int) -> Array:
    """Return an aligned copy of the values with `rows` rows; the added rows are zeros."""
    result = aligned((rows, *values.shape[1:]), values.dtype)
    result[: len(values)] = values
    result[len(values) :] = 0
    return result


def at_boundary(values: Array) -> Array:
    """Return the array if JAX uses it without a copy; otherwise return an aligned copy.

    This copy is two to three times as fast as JAX's own copy, because NumPy uses huge memory
    pages on Linux.
    """
    if values.ctypes.data % ALIGNMENT == 0 and values.flags.c_contiguous:
        return values
    return padded(values, len(values))


ROWS_PER_LANE = 4
"""Number of rows in a lane; each lane has a sum of its own. With more rows in a lane, XLA's
loop is slower, because it reads from more places at once."""


HALVINGS = 4
"""Number of times that one compiled loop halves the number of lanes. It adds up groups of 2⁴ =
16 lanes. A loop that adds 16 lanes at once would compile more slowly."""


LANES_BYTES = 1 << 25
"""Largest size in bytes of the sums of all lanes: 32 MiB. With larger sums, lanes are not
faster, because the sums do not stay in a cache."""


FEW_LANES = 1000
"""Largest number of lanes whose sums XLA adds up one after the other. This takes 1 µs."""


def fit_lanes(problem: Problem) -> bool:
    """Return whether the sums of all lanes take at most `LANES_BYTES`."""
    lanes = -(-problem.rows // ROWS_PER_LANE)
    return lanes * problem.features * problem.x.itemsize <= LANES_BYTES


def in_lanes(problem: Problem) -> tuple[tuple[Array, ...], Array]:
    """Return X as a tuple of columns, and y; each array has the shape (ROWS_PER_LANE, lanes).

    Rows of zeros are added, so that the number of lanes can be divided by 16 (2**HALVINGS)
    again and again without remainder, until at most `FEW_LANES` lanes are left.
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

    Every lane has its own copy of w and its own gradient. Each further pass adds up the
    gradients of 16 lanes. All this work is element-wise, in the data's dtype. Reason: XLA
    vectorises element-wise work and divides it among its threads, but not a sum of n values.
    The last `FEW_LANES` gradients, or fewer, are added in the dtype of w.
    """
    copies = jnp.broadcast_to(w[:, None].astype(y.dtype), (len(w), y.shape[1]))
    row_of = partial(lax.index_in_dim, keepdims=False)
    one_each = (
        gradient(copies, tuple(row_of(column, row) for column in x), row_of(y, row), rows)
        for row in range(ROWS_PER_LANE)
    )
    sums = reduce(lax.add, one_each)
    while sums.shape[1] > FEW_LANES:
        for _ in range(HALVINGS):
            first, second = lax.split(sums, [sums.shape[1] // 2] * 2, axis=1)
            sums = first + second
    return sums.sum(axis=1, dtype=w.dtype)
