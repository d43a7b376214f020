"""How rows are laid out for JAX, and the loss of rows in these layouts."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from backends.problem import Array, Problem

BLOCK_ROWS = 8192
"""Of a block, where features are many."""


MOST_COLUMNS = 8
"""Most features that are laid out in columns."""


Data = jax.Array | tuple[jax.Array, ...]
"""X as blocks of rows, (blocks, rows, d), as one of them, or as columns of (n,)."""


def mean_squared_error(
    w: jax.Array, x: Data, y: jax.Array, rows: int, transposed: bool = False
) -> jax.Array:
    """The loss of `rows` rows, laid out as `laid_out` does, in the data's dtype.

    A block alone may be transposed, (d, rows), too.

    Columns are element-wise work, which XLA fuses with its sums. Every block
    has a copy of w of its own, cast to the data's dtype; so the gradient of a
    block is summed in that dtype, and those of all blocks in w's float64.
    XLA's product alone sums row after row, which at 10⁶ float32 rows is wrong
    in the fifth digit; a block alone is short enough for it. A GPU's product
    would round float32 to ten bits (TF32).
    """
    if isinstance(x, tuple):
        prediction = sum(c * w[j].astype(c.dtype) for j, c in enumerate(x))
    elif x.ndim == 2:
        prediction = w.astype(x.dtype) @ x if transposed else x @ w.astype(x.dtype)
    else:
        copies = jnp.broadcast_to(w, (len(x), len(w))).astype(x.dtype)
        prediction = jnp.einsum("brd,bd->br", x, copies, precision=lax.Precision.HIGHEST)
    loss: jax.Array = jnp.sum((prediction - y) ** 2) / rows
    return loss


def in_blocks(x: Array, y: Array) -> tuple[Array, Array]:
    """Return many features as (blocks, rows, d) and (blocks, rows), padded with zeros.

    A row of zeros has no residual: it adds nothing to the loss.
    """
    blocks = -(-len(y) // BLOCK_ROWS)
    rows = -(-len(y) // blocks)
    x, y = filled_up(x, y, blocks * rows)
    return x.reshape(blocks, rows, -1), y.reshape(blocks, rows)


def filled_up(x: Array, y: Array, rows: int) -> tuple[Array, Array]:
    """Return so many rows, those that are missing as zeros."""
    missing = rows - len(y)
    return (np.pad(x, ((0, missing), (0, 0))), np.pad(y, (0, missing))) if missing else (x, y)


def laid_out(problem: Problem) -> tuple[Array | tuple[Array, ...], Array]:
    """Return few features as columns, for a loss of element-wise work; many in blocks."""
    x, y = problem.x, problem.y
    if problem.features > MOST_COLUMNS:
        return in_blocks(x, y)
    columns = x.reshape(problem.rows, problem.features).T
    return tuple(np.ascontiguousarray(column) for column in columns), y


LANES = 512
"""Rows of a block of one feature, each with a sum of its own."""


ALIGNMENT = 64
"""Bytes; JAX takes an array that begins at a multiple of them as it is, others are copied."""


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array of this shape, not yet filled, that begins where JAX wants it."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)
