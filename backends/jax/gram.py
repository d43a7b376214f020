"""Sum XᵀX and Xᵀy with JAX, and descend with these sums in a compiled loop."""

from __future__ import annotations

from functools import partial
from itertools import chain, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.gram import ProblemGram
from backends.jax.devices import named_devices
from backends.jax.layout import (
    ALIGNMENT,
    LANES,
    filled_up,
)
from backends.jax.loop import repeat, unrolled_on
from backends.problem import Array, Problem
from backends.threads import in_threads, processors

LINE_ROWS = 1 << 19
"""Largest number of rows in a block, for data with one feature. Blocks are large, because
calling XLA for a block costs the time of summing 2¹⁶ rows."""


GRAM_BYTES = 1 << 22
"""Size of a block of rows in bytes after its conversion to float64, for data with two or more
features: 4 MiB."""


@jax.jit
def block_products(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """Return XᵀX, Xᵀy and yᵀy of a block of rows, computed in float64."""
    x, y = x.astype(jnp.float64), y.astype(jnp.float64)
    return x.T @ x, y @ x, y @ y


@jax.jit
def line_products(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """Return Σ x², Σ x·y and Σ y² for data with one feature, in float64, in one pass.

    Each sum is split into `LANES` partial sums, which XLA computes with vector instructions. A
    single sum would be slower, because XLA would add its values one by one.
    """
    xs, ys = x.reshape(-1, LANES), y.reshape(-1, LANES)

    def add(sums: tuple[jax.Array, ...], rows: tuple[jax.Array, jax.Array]) -> Any:
        x, y = (row.astype(jnp.float64) for row in rows)
        return tuple(a + b for a, b in zip(sums, (x * x, x * y, y * y), strict=True)), None

    (xx, xy, yy), _ = lax.scan(add, (jnp.zeros(LANES),) * 3, (xs, ys))
    return xx.sum()[None, None], xy.sum()[None], yy.sum()


def sums_of(x: Array, y: Array, device: jax.Device) -> list[Weights]:
    """Return XᵀX of shape (d, d), Xᵀy of shape (d,), and yᵀy of shape (), all in float64.

    The rows are copied to the device block by block, because allocating memory for all rows
    would take longer than the sums. XLA uses only one thread for the sums of a block. This
    function therefore calls XLA from several Python threads, each with its own blocks.
    """
    d, threads = x.shape[1], processors()
    if d == 1 and device.platform == "cpu":
        products, blocks = line_products, line_blocks(x, y)
    else:
        rows = min(len(y), max(64, GRAM_BYTES // (8 * d)))
        products, blocks = block_products, cut(x, y, rows)

    def share(mine: list[tuple[Array, Array]]) -> list[Weights]:
        total: list[Weights] = [np.zeros((d, d)), np.zeros(d), np.zeros(())]
        handed = (products(*jax.device_put(block, device)) for block in mine)
        for sums, _ in pairwise(chain(handed, [()])):  # meanwhile, XLA sums the next block
            for of, part in zip(total, sums, strict=True):
                of += np.asarray(part)
        return total

    parts = in_threads(share, (blocks[i::threads] for i in range(min(threads, len(blocks)))))
    return [np.sum(part, axis=0) for part in zip(*parts, strict=True)]


def cut(x: Array, y: Array, rows: int) -> list[tuple[Array, Array]]:
    """Return the rows in blocks of `rows` rows each; zeros fill the last block."""
    starts = range(0, len(y), rows)
    return [filled_up(x[at : at + rows], y[at : at + rows], rows) for at in starts]


def line_blocks(x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Divide data with one feature into blocks of equal size.

    The number of rows in a block is a power of two, from 512 to 2¹⁹. If possible, the address
    of a block is a multiple of `ALIGNMENT`, so that JAX does not copy the block.
    """
    n, rows = len(y), min(LINE_ROWS, max(LANES, 1 << (len(y) - 1).bit_length()))
    first, other = (-v.ctypes.data % ALIGNMENT // v.itemsize for v in (x, y))
    first = min(first, n) if first == other else 0
    stop = first + (n - first) // rows * rows
    blocks = [(x[at : at + rows], y[at : at + rows]) for at in range(first, stop, rows)]
    x, y = (np.concatenate((v[:first], v[stop:])) for v in (x, y))
    return blocks + cut(x, y, rows)


@partial(jax.jit, static_argnames="unrolled")
def gram_loop(
    w: jax.Array, xtx: jax.Array, xty: jax.Array, rate: float, steps: int, unrolled: int
) -> jax.Array:
    """Return w after `steps` steps ``w ← w − rate·(XᵀX·w − Xᵀy)``.

    `rate` is the learning rate times 2/n, where n is the number of rows. Each iteration of the
    compiled loop takes `unrolled` steps.
    """
    return repeat(lambda w: w - rate * (xtx @ w - xty), w, steps, unrolled)


class Gram(ProblemGram):
    """Descent for squared error: XᵀX and Xᵀy are computed once and then used in each step."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        sums = sums_of(problem.x.reshape(problem.rows, -1), problem.y, self.device)
        super().__init__(problem, learning_rate, (sums[0], sums[1], float(sums[2])))
        self.on_device = jax.block_until_ready(jax.device_put(sums[:2], self.device))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        start = jax.device_put(np.asarray(w, dtype=np.float64), self.device)
        unrolled = unrolled_on(self.device)
        return np.array(gram_loop(start, *self.on_device, self.rate, steps, unrolled))
