"""Compute the gradient with ``jax.grad``, block by block, so that a block stays in a cache."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends import tuning
from backends.errors import Weights
from backends.jax.devices import named_devices
from backends.jax.layout import (
    ALIGNMENT,
    LANES,
    Data,
    aligned,
    at_boundary,
    filled_up,
    predictions,
    total_of,
    values_of,
)
from backends.jax.loop import PerStep, gradient_of
from backends.losses import Loss
from backends.problem import Array, Problem
from backends.threads import in_threads, processors

BLOCK_BYTES = 1 << 17
"""Default size of a block of X in bytes: 128 kB, which fit in a core's own cache."""


TRIED_BLOCKS = (1 << 15, 1 << 19)
"""Block sizes in bytes that are timed in addition to `BLOCK_BYTES`. There are only two, because
code has to be compiled for each size."""


MOST_TRANSPOSED = 64
"""Largest number of features for which blocks are transposed by default. With so few features,
XLA multiplies a transposed block by w faster than a block that is not transposed."""


TRIED_TRANSPOSED = range(16, 257)
"""Numbers of features, from 16 to 256, for which a step is timed with transposed blocks and
with blocks that are not transposed. The faster kind of blocks is then used."""


Share = tuple[Data, jax.Array]
"""X and y of the rows of one thread, in blocks.

- X has the shape (blocks, rows, d), or (blocks, d, rows) if blocks are transposed.
- For one feature, X is a tuple with one array of shape (blocks, rows).
- y has the shape (blocks, rows).
"""


class OfShare(NamedTuple):
    """Compiled functions that sum a loss and its gradient over the rows of one thread."""

    gradient: Callable[..., jax.Array]
    """``gradient(w, share, rows, transposed=…)`` returns the gradient of the summed loss of one
    thread, divided by `rows`. `share` holds the thread's rows in blocks, and `rows` is the
    number of rows of all threads. If `transposed` is true, the blocks are transposed."""
    loss: Callable[..., jax.Array]
    """``loss(w, share, rows, transposed=…)`` returns the summed loss of the first `rows` rows
    in `share`. Later rows in `share` are padding. If `transposed` is true, the blocks in
    `share` are transposed."""


@cache
def compiled(loss: Loss) -> OfShare:
    """Return an `OfShare` for a loss, such as squared error."""
    gradient_of_mean, values = gradient_of(loss), values_of(loss)

    @partial(jax.jit, static_argnames="transposed")
    def gradient(w: jax.Array, share: Share, rows: int, transposed: bool) -> jax.Array:
        # With one feature, every row of a block has its own copy of w and its own gradient. All
        # work is then element-wise, and the gradients are added at the end. With a single w,
        # XLA would add the values of a block one by one.
        x, y = share
        if alone := isinstance(x, tuple):
            w = jnp.broadcast_to(w[:, None], (1, y.shape[-1]))
        total = over_blocks(
            lambda x, y: gradient_of_mean(w, x, y, rows, transposed), jnp.zeros_like(w), share
        )
        return total.sum(axis=1) if alone else total

    @partial(jax.jit, static_argnames="transposed")
    def total(w: jax.Array, share: Share, rows: int, transposed: bool) -> jax.Array:
        x, y = share
        firsts = jnp.arange(len(y)) * y.shape[-1]
        return over_blocks(
            lambda x, block: total_of(
                values(predictions(w, x, transposed), block[0]), rows, block[1]
            ),
            jnp.zeros(()),
            (x, (y, firsts)),
        )

    return OfShare(gradient, total)


def over_blocks(
    of: Callable[[Data, Any], jax.Array], start: jax.Array, share: tuple[Data, Any]
) -> jax.Array:
    """Call ``of(x, y)`` for one block after the other; return `start` plus all results."""

    def add(total: jax.Array, block: tuple[Data, Any]) -> tuple[jax.Array, None]:
        return total + of(*block), None

    total, _ = lax.scan(add, start, share)
    return total


def in_shares(
    problem: Problem,
    threads: int,
    block_bytes: int = BLOCK_BYTES,
    transposed: bool | None = None,
) -> list[tuple[Array | tuple[Array], Array]]:
    """Divide the rows into one `Share` for each thread; all shares have the same size.

    A share consists of blocks of rows, and the last shares are filled up with rows of zeros.
    `transposed` says whether the blocks are transposed. By default, the blocks are transposed
    if X has at most `MOST_TRANSPOSED` features.
    """
    n, d, itemsize = problem.rows, problem.features, problem.x.itemsize
    if transposed is None:
        transposed = d <= MOST_TRANSPOSED
    x, y = problem.x.reshape(n, d), problem.y
    rows = LANES if d == 1 else max(64, block_bytes // (d * itemsize))
    blocks = -(-n // (threads * rows))
    rows = -(-n // (threads * blocks))
    if transposed:
        rows += -rows % (ALIGNMENT // itemsize)

    def share(number: int) -> tuple[Array | tuple[Array], Array]:
        mine = slice(number * blocks * rows, (number + 1) * blocks * rows)
        if not transposed:
            xs, ys = filled_up(x[mine], y[mine], blocks * rows)
            xs, ys = at_boundary(xs), at_boundary(ys)
            return xs.reshape(blocks, rows, d), ys.reshape(blocks, rows)
        xs, ys = by_column(x[mine], blocks, rows), by_column(y[mine, None], blocks, rows)
        return (xs[:, 0],) if d == 1 else xs, ys[:, 0]

    return in_threads(share, range(threads))


def by_column(x: Array, blocks: int, rows: int) -> Array:
    """Copy x of shape (n, d) to an aligned array of shape (blocks, d, rows).

    The end of the array is filled up with zeros.
    """
    n, d = x.shape
    whole = n // rows
    result = aligned((blocks, d, rows), x.dtype)
    result[:whole] = x[: whole * rows].reshape(whole, rows, d).swapaxes(1, 2)
    if whole < blocks:
        result[whole:] = 0
        result[whole, :, : n - whole * rows] = x[whole * rows :].T
    return result


class Blocked(PerStep):
    """Descent on the CPU: each thread computes the gradient of its rows block by block.

    A step uses X twice, for ``x·w`` and for the gradient. A block stays in a cache between
    these two uses. Without blocks, XLA would read all of X from memory twice.
    """

    SERIAL_BYTES = 1 << 23
    """Data size in bytes below which one thread is used by default. With smaller data, waking a
    second thread takes longer than it saves."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.learning_rate = problem.rows, learning_rate
        self.of_share, self.scale = compiled(problem.loss), problem.loss.scale
        self.choice = tuning.choice_for(
            *("jax:blocked", jax.__version__, problem, processors(), __file__),
            *(self._ranges(problem), self._trial(problem)),
        )
        self.transposed = bool(self.choice["transposed"])
        self.shares = self._shares(problem, self.choice)

    def _ranges(self, problem: Problem) -> tuning.Ranges:
        """Return the values that `tuning` tries for each parameter, the default first."""
        d, usual = problem.features, int(problem.features <= MOST_TRANSPOSED)
        serial = problem.bytes_per_step < self.SERIAL_BYTES
        counts = [1, processors()] if serial else [processors(), 1]
        small = problem.bytes_per_step <= tuning.TRIAL_BYTES
        return {
            "transposed": [usual, 1 - usual] if d in TRIED_TRANSPOSED else [usual],
            "block_bytes": [BLOCK_BYTES, *(TRIED_BLOCKS if d > 1 else ())],
            "threads": counts if small and counts[0] != counts[1] else counts[:1],
        }

    def _shares(self, problem: Problem, choice: tuning.Choice) -> list[Share]:
        """Return the rows on the device, as one `Share` for each thread."""
        shares = in_shares(
            problem, choice["threads"], choice["block_bytes"], bool(choice["transposed"])
        )
        placed: list[Share] = jax.block_until_ready(jax.device_put(shares, self.device))
        return placed

    def _trial(self, problem: Problem) -> tuning.Place:
        """Return a function that prepares some of the rows, so that steps can be timed."""
        count = tuning.trial_rows(problem, tuning.TRIAL_BYTES)
        x, y = problem.x[:count], problem.y[:count]
        some = Problem(x, y, known_finite=True, loss=problem.loss)
        w = np.full(problem.features, 1e-3)

        def place(choice: tuning.Choice) -> tuning.Trial:
            shares = self._shares(some, choice)
            step = partial(self._sums, w, shares, bool(choice["transposed"]))
            return step, nullcontext

        return place

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self._mean_gradient(w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        w = np.asarray(w, dtype=np.float64)
        return self._mean_gradient(w) * (self.rows / self.scale)

    def loss(self, w: ArrayLike) -> float:
        w = np.asarray(w, dtype=np.float64)
        length = self.shares[0][1].size  # number of rows in a share, with padding rows

        def mine(number: int) -> float:
            rows = self.rows - number * length
            total = self.of_share.loss(w, self.shares[number], rows, transposed=self.transposed)
            return float(total)

        return sum(in_threads(mine, range(len(self.shares)))) / self.rows

    def _mean_gradient(self, w: Weights) -> Weights:
        return self._sums(w, self.shares, self.transposed)

    def _sums(self, w: Weights, shares: list[Share], transposed: bool) -> Weights:
        """Return the gradient of the mean loss over all rows; each thread computes a part."""
        gradient = self.of_share.gradient

        def mine(share: Share) -> Weights:
            part = gradient(w, share, self.rows, transposed=transposed)
            return np.asarray(part, dtype=np.float64)

        total: Weights = reduce(np.add, in_threads(mine, shares))
        return total
