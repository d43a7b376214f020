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
"""Rows of a block with many features: few enough for exact float32 sums."""


MOST_COLUMNS = 8
"""Largest number of features that are stored as separate columns."""


Data = jax.Array | tuple[jax.Array, ...]
"""X as blocks of rows, (blocks, rows, d), as a single block, or as columns of shape (n,)."""


def mean_squared_error(
    w: jax.Array, x: Data, y: jax.Array, rows: int, transposed: bool = False
) -> jax.Array:
    """Return the loss of `rows` rows in a layout of `laid_out`, in the data's dtype.

    A single block may also be transposed, (d, rows).

    Columns are element-wise work, which XLA fuses with the sums. For many features XLA's
    product sums row after row, and at 10⁶ float32 rows the fifth digit would be wrong.
    Therefore every block has its own copy of w in the data's dtype: the gradient of a block
    is summed in that dtype, and the gradients of the blocks are summed in float64, the
    dtype of w. The highest precision keeps a GPU from rounding float32 to ten bits (TF32).
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
    """Return rows of many features as (blocks, rows, d) and (blocks, rows).

    The last block is padded with rows of zeros, which have no residual and add nothing to
    the loss.
    """
    blocks = -(-len(y) // BLOCK_ROWS)
    rows = -(-len(y) // blocks)
    x, y = filled_up(x, y, blocks * rows)
    return x.reshape(blocks, rows, -1), y.reshape(blocks, rows)


def filled_up(x: Array, y: Array, rows: int) -> tuple[Array, Array]:
    """Return `rows` rows; the missing ones are zeros."""
    missing = rows - len(y)
    return (np.pad(x, ((0, missing), (0, 0))), np.pad(y, (0, missing))) if missing else (x, y)


def laid_out(problem: Problem) -> tuple[Array | tuple[Array, ...], Array]:
    """Return few features as columns, and many features in blocks of rows."""
    x, y = problem.x, problem.y
    if problem.features > MOST_COLUMNS:
        return in_blocks(x, y)
    columns = x.reshape(problem.rows, problem.features).T
    return tuple(np.ascontiguousarray(column) for column in columns), y


LANES = 512
"""Rows of a block of one feature; each has its own sum, so that the sums are vectorised."""


ALIGNMENT = 64
"""Alignment in bytes: JAX uses an array without a copy if it begins at a multiple of it."""


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an uninitialised array of this shape that JAX uses without a copy."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)
