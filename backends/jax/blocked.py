"""Blocks of rows that stay in a core's cache, for the CPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.jax.devices import named_devices
from backends.jax.layout import (
    ALIGNMENT,
    LANES,
    Data,
    aligned,
    filled_up,
    mean_squared_error,
)
from backends.jax.loop import PerStep, gradient_of_loss
from backends.problem import Array, Problem
from backends.threads import in_threads, processors

BLOCK_BYTES = 1 << 17
"""Size of a block in bytes: it stays in a core's cache."""


MOST_TRANSPOSED = 64
"""Largest number of features whose blocks are transposed: for short rows, XLA's product with
w reads (d, rows) faster than (rows, d)."""


Share = tuple[Data, jax.Array]
"""Blocks of X and of y. X is (blocks, rows, d), or transposed (blocks, d, rows), or for one
feature a tuple with (blocks, rows); y is (blocks, rows)."""


@partial(jax.jit, static_argnames="transposed")
def share_gradient(w: jax.Array, share: Share, rows: int, transposed: bool) -> jax.Array:
    """Return what the blocks of a share add to the gradient of the loss.

    With one feature, every row of a block has its own copy of w, and so its own gradient.
    All work is then element-wise until the end. Otherwise XLA would add the values of a
    vector one by one.
    """
    x, y = share
    if alone := isinstance(x, tuple):
        w = jnp.broadcast_to(w[:, None], (1, y.shape[-1]))
    total = over_blocks(
        lambda x, y: gradient_of_loss(w, x, y, rows, transposed), jnp.zeros_like(w), share
    )
    return total.sum(axis=1) if alone else total


@partial(jax.jit, static_argnames="transposed")
def share_loss(w: jax.Array, share: Share, rows: int, transposed: bool) -> jax.Array:
    """Return what the blocks of a share add to the loss."""
    return over_blocks(
        lambda x, y: mean_squared_error(w, x, y, rows, transposed), jnp.zeros(()), share
    )


def over_blocks(
    of: Callable[[Data, jax.Array], jax.Array], start: jax.Array, share: Share
) -> jax.Array:
    """Return the sum of a function over all blocks, one block after the other."""

    def add(total: jax.Array, block: Share) -> tuple[jax.Array, None]:
        return total + of(*block), None

    total, _ = lax.scan(add, start, share)
    return total


def in_shares(problem: Problem, threads: int) -> list[tuple[Array | tuple[Array], Array]]:
    """Return one `Share` of the rows for each thread, padded with rows of zeros."""
    n, d, itemsize = problem.rows, problem.features, problem.x.itemsize
    x, y = problem.x.reshape(n, d), problem.y
    rows = LANES if d == 1 else max(64, BLOCK_BYTES // (d * itemsize))
    blocks = -(-n // (threads * rows))
    rows = -(-n // (threads * blocks))
    if d <= MOST_TRANSPOSED:
        rows += -rows % (ALIGNMENT // itemsize)

    def share(number: int) -> tuple[Array | tuple[Array], Array]:
        mine = slice(number * blocks * rows, (number + 1) * blocks * rows)
        if d > MOST_TRANSPOSED:
            xs, ys = filled_up(x[mine], y[mine], blocks * rows)
            return xs.reshape(blocks, rows, d), ys.reshape(blocks, rows)
        xs, ys = by_column(x[mine], blocks, rows), by_column(y[mine, None], blocks, rows)
        return (xs[:, 0],) if d == 1 else xs, ys[:, 0]

    return in_threads(share, range(threads))


def by_column(x: Array, blocks: int, rows: int) -> Array:
    """Return x, (n, d), as (blocks, d, rows); missing rows are zeros."""
    n, d = x.shape
    whole = n // rows
    result = aligned((blocks, d, rows), x.dtype)
    result[:whole] = x[: whole * rows].reshape(whole, rows, d).swapaxes(1, 2)
    if whole < blocks:
        result[whole:] = 0
        result[whole, :, : n - whole * rows] = x[whole * rows :].T
    return result


class Blocked(PerStep):
    """Blocks of rows that stay in cache, with a share of the blocks for each thread.

    XLA computes a step's two products in separate kernels, which both read all of X. Here
    each of our threads has the gradients of its blocks computed one after the other.
    """

    SERIAL_BYTES = 1 << 23
    """Data size in bytes below which one thread is faster, because waking another takes as
    long as XLA needs for several megabytes from the caches."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.learning_rate = problem.rows, learning_rate
        self.transposed = problem.features <= MOST_TRANSPOSED
        small = problem.bytes_per_step < self.SERIAL_BYTES
        shares = in_shares(problem, 1 if small else processors())
        self.shares = jax.block_until_ready(jax.device_put(shares, self.device))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self._sum_of(share_gradient, w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        return self._sum_of(share_gradient, np.asarray(w, dtype=np.float64)) * (self.rows / 2)

    def loss(self, w: ArrayLike) -> float:
        return float(self._sum_of(share_loss, np.asarray(w, np.float64)))

    def _sum_of(self, of: Callable[..., jax.Array], w: Weights) -> Weights:
        def mine(share: Share) -> Weights:
            return np.asarray(of(w, share, self.rows, self.transposed), dtype=np.float64)

        total: Weights = reduce(np.add, in_threads(mine, self.shares))
        return total
