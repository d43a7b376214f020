"""Store rows in layouts that are fast in JAX, and compute predictions from these layouts."""

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
"""Largest number of rows in a block, for data with more than `MOST_COLUMNS` features. A float32
sum over more rows would lose digits."""


MOST_COLUMNS = 8
"""Largest number of features for which X is stored as separate columns. With more features, X
is stored in blocks of rows."""


Data = jax.Array | tuple[jax.Array, ...]
"""X in one of four layouts.

- blocks of rows: one array of shape (blocks, rows, d)
- a single block: one array of shape (rows, d)
- columns: a tuple of d arrays of shape (n,)
- lanes (groups of `ROWS_PER_LANE` rows): a tuple of d arrays of shape (ROWS_PER_LANE, number of
  lanes)
"""


def predictions(w: jax.Array, x: Data, transposed: bool = False) -> jax.Array:
    """Return the predictions ``x·w`` in the data's dtype; `Data` lists the layouts of x.

    If `transposed` is true, x is a single block of shape (d, rows).

    If x consists of several blocks, each block is multiplied by its own copy of w. JAX then
    derives one gradient for each copy of w, and adds these gradients in float64. With a single
    copy of w, JAX would add the gradients of all rows in the data's dtype. The fifth digit of
    the sum would then be wrong at 10⁶ float32 rows.
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
    """Return a function that computes each row's loss from its prediction and its target."""
    if loss == SQUARED_ERROR:
        return lambda prediction, y: (prediction - y) ** 2
    return lambda prediction, y: loss.value(jnp, prediction, y)


def total_of(values: jax.Array, rows: int | jax.Array, first: int | jax.Array = 0) -> jax.Array:
    """Return the float64 sum of the rows' values, without padding rows.

    The values belong to consecutive rows. The first of these rows has the number `first`. Rows
    whose number is `rows` or larger are padding.
    """
    number = first + jnp.arange(values.size).reshape(values.shape)
    return jnp.where(number < rows, values, 0).sum(dtype=jnp.float64)


def in_blocks(x: Array, y: Array) -> tuple[Array, Array]:
    """Return x as an array of shape (blocks, rows, d), and y of shape (blocks, rows).

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
    """Return X and y in the layout for the problem's number of features.

    With at most `MOST_COLUMNS` features, X is a tuple of columns. With more features, X and y
    are divided into blocks of rows.
    """
    x, y = problem.x, problem.y
    if problem.features > MOST_COLUMNS:
        return in_blocks(x, y)
    columns = x.reshape(problem.rows, problem.features).T
    return tuple(np.ascontiguousarray(column) for column in columns), y


LANES = 512
"""Number of partial sums that are computed at the same time for data with one feature. Partial
sum k adds the rows k, k + 512, k + 1024 and so on. XLA uses vector instructions for these
partial sums, but not for one sum over all rows."""


ALIGNMENT = 64
"""Alignment in bytes. JAX does not copy an array whose address is a multiple of this number."""


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array that JAX can use without a copy (see `ALIGNMENT`)."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


def padded(values: Array, rows: int) -> Array:
    """Return an aligned copy of `values`, lengthened to `rows` rows with rows of zeros."""
    result = aligned((rows, *values.shape[1:]), values.dtype)
    result[: len(values)] = values
    result[len(values) :] = 0
    return result


def at_boundary(values: Array) -> Array:
    """Return the array if JAX can use it without a copy; otherwise return an aligned copy.

    Copying here is two to three times as fast as copying in JAX, because NumPy uses huge memory
    pages on Linux.
    """
    if values.ctypes.data % ALIGNMENT == 0 and values.flags.c_contiguous:
        return values
    return padded(values, len(values))


ROWS_PER_LANE = 4
"""Number of rows in a lane (a group of rows that are summed separately). With more rows in a
lane, a step would be slower."""


HALVINGS = 4
"""Number of halvings in one compiled loop. A halving adds the second half of the lanes to the
first half, so four halvings leave one sixteenth of the lanes. Adding 16 parts in a single
operation would compile more slowly."""


LANES_BYTES = 1 << 25
"""Largest size in bytes of the gradients of all lanes: 32 MiB. Each lane (a group of rows) has
one gradient. Larger gradients would not stay in a cache."""


FEW_LANES = 1000
"""Largest number of lanes (groups of rows) whose gradients are added one after the other. These
additions take 1 µs in total. Gradients of more lanes are first added in pairs."""


def fit_lanes(problem: Problem) -> bool:
    """Return whether the sums of all lanes take at most `LANES_BYTES`."""
    lanes = -(-problem.rows // ROWS_PER_LANE)
    return lanes * problem.features * problem.x.itemsize <= LANES_BYTES


def in_lanes(problem: Problem) -> tuple[tuple[Array, ...], Array]:
    """Return X as a tuple of columns, and y; each array has the shape (ROWS_PER_LANE, lanes).

    A lane is a group of rows that are summed separately. Rows of zeros are added at the end, so
    that `over_lanes` can add the lanes in pairs.
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
    """Return the gradient over all rows, for x and y in the layout that `in_lanes` returns.

    A lane is a group of rows. The function ``gradient(w, x, y, rows)`` returns one gradient for
    each lane, and `rows` is the number of rows of all lanes. The gradients are added in pairs
    until at most `FEW_LANES` gradients are left. These gradients are then added in the dtype of
    w.

    Additions in pairs are fast, because XLA vectorises element-wise work and divides it among
    threads.
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
