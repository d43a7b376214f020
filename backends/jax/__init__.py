"""JAX: the gradient by ``jax.grad``, compiled by ``jax.jit``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce
from itertools import chain, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.problem import Array, Problem
from backends.threads import in_threads, processors

# float64 data and a float64 w are silently float32 without this.
jax.config.update("jax_enable_x64", True)


BLOCK_ROWS = 8192
"""Of a block, where features are many."""

LINE_ROWS = 1 << 19
"""Of a block in `line_blocks`: a call a block, which takes as long as 2¹⁶ rows do."""

GRAM_BYTES = 1 << 22
"""Of a block in `sums_of` of several features, as float64."""

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


gradient_of_loss = jax.grad(mean_squared_error)


@jax.jit
def step(w: jax.Array, x: Data, y: jax.Array, rows: int, learning_rate: float) -> jax.Array:
    """One step of gradient descent."""
    stepped: jax.Array = w - learning_rate * gradient_of_loss(w, x, y, rows)
    return stepped


UNROLLED = 16
"""Steps in one turn of a GPU's loop: before each turn the host asks whether to go on."""


def repeat(
    once: Callable[[jax.Array], jax.Array], w: jax.Array, steps: int, unrolled: int
) -> jax.Array:
    """Take `steps` steps; their number is data, so it may change without compiling."""

    def several(_: int, w: jax.Array) -> jax.Array:
        for _ in range(unrolled):
            w = lax.optimization_barrier(once(w))  # each step is compiled like one alone
        return w

    w = lax.fori_loop(0, steps // unrolled, several, w)
    if unrolled > 1:
        w = lax.fori_loop(0, steps % unrolled, lambda _, w: once(w), w)
    return w


@partial(jax.jit, static_argnames="unrolled")
def loop(
    w: jax.Array,
    x: Data,
    y: jax.Array,
    rows: int,
    learning_rate: float,
    steps: int,
    unrolled: int,
) -> jax.Array:
    """`steps` steps of gradient descent."""
    return repeat(lambda w: step(w, x, y, rows, learning_rate), w, steps, unrolled)


class PerStep:
    """``jit(grad(loss))``, called once a step from Python."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.learning_rate = problem.rows, learning_rate
        self.x, self.y = jax.block_until_ready(jax.device_put(laid_out(problem), self.device))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        on_device = self._put(w)
        for _ in range(steps):
            on_device = step(on_device, self.x, self.y, self.rows, self.learning_rate)
        return np.array(on_device)  # the copy to the host waits for the device

    def gradient(self, w: ArrayLike) -> Weights:
        gradient = jax.jit(gradient_of_loss)(self._put(w), self.x, self.y, self.rows)
        return np.asarray(gradient, dtype=np.float64) * (self.rows / 2)

    def loss(self, w: ArrayLike) -> float:
        return float(jax.jit(mean_squared_error)(self._put(w), self.x, self.y, self.rows))

    @property
    def unrolled(self) -> int:
        return 1 if self.device.platform == "cpu" else UNROLLED

    def _put(self, w: ArrayLike) -> jax.Array:
        placed: jax.Array = jax.device_put(np.asarray(w, dtype=np.float64), self.device)
        return placed


class Loop(PerStep):
    """The whole descent in one compiled loop: Python is left once a run."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        start, rate = self._put(w), self.learning_rate
        return np.array(
            loop(start, self.x, self.y, self.rows, rate, steps, unrolled=self.unrolled)
        )


BLOCK_BYTES = 1 << 17
"""Of a block in `Blocked`: it stays in a core's cache."""

LANES = 512
"""Rows of a block of one feature, each with a sum of its own."""

MOST_TRANSPOSED = 64
"""Most features whose blocks are laid out column by column: of short rows, XLA's product
with w reads (d, rows) faster than (rows, d)."""

Share = tuple[Data, jax.Array]
"""Blocks of X and of y: (blocks, rows, d) or transposed (blocks, d, rows), of one feature
(blocks, rows) in a tuple; and (blocks, rows)."""


@partial(jax.jit, static_argnames="transposed")
def share_gradient(w: jax.Array, share: Share, rows: int, transposed: bool) -> jax.Array:
    """Return the gradient of the loss of some blocks of rows, one block after the other.

    Of one feature every row of a block has a copy of w, and so a gradient of its own:
    then it is element-wise work until the end, since XLA adds up the values of one
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
    """Return what some blocks of rows add to the loss."""
    return over_blocks(
        lambda x, y: mean_squared_error(w, x, y, rows, transposed), jnp.zeros(()), share
    )


def over_blocks(
    of: Callable[[Data, jax.Array], jax.Array], start: jax.Array, share: Share
) -> jax.Array:
    """Add up a function of blocks, one block after the other."""

    def add(total: jax.Array, block: Share) -> tuple[jax.Array, None]:
        return total + of(*block), None

    total, _ = lax.scan(add, start, share)
    return total


def in_shares(problem: Problem, threads: int) -> list[tuple[Array | tuple[Array], Array]]:
    """Return a share of the rows a thread, laid out as `Share` says, filled up with zeros."""
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
    """Return (blocks, d, rows) of x, (n, d), zeros in the place of rows that are missing."""
    n, d = x.shape
    whole = n // rows
    result = aligned((blocks, d, rows), x.dtype)
    result[:whole] = x[: whole * rows].reshape(whole, rows, d).swapaxes(1, 2)
    if whole < blocks:
        result[whole:] = 0
        result[whole, :, : n - whole * rows] = x[whole * rows :].T
    return result


ALIGNMENT = 64
"""Bytes; JAX takes an array that begins at a multiple of them as it is, others are copied."""


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an array of this shape, not yet filled, that begins where JAX wants it."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(dtype).reshape(shape)


class Blocked(PerStep):
    """Blocks of rows that stay in cache, a share of them a thread; for the CPU.

    XLA gives a step's two products to separate kernels, which both read all of X. Here each
    thread of ours has the gradients of its blocks taken one after the other. To hand a
    share to another thread takes as long as XLA does with several megabytes from the caches.
    """

    SERIAL_BYTES = 1 << 23

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


@jax.jit
def block_products(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """Return XᵀX, Xᵀy and yᵀy of a block of rows, float64."""
    x, y = x.astype(jnp.float64), y.astype(jnp.float64)
    return x.T @ x, y @ x, y @ y


@jax.jit
def line_products(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """Return Σ x², Σ x·y and Σ y² of one feature, float64, in one pass.

    `LANES` sums of each side by side: XLA adds up the values of one vector one by one.
    """
    xs, ys = x.reshape(-1, LANES), y.reshape(-1, LANES)

    def add(sums: tuple[jax.Array, ...], rows: tuple[jax.Array, jax.Array]) -> Any:
        x, y = (row.astype(jnp.float64) for row in rows)
        return tuple(a + b for a, b in zip(sums, (x * x, x * y, y * y), strict=True)), None

    (xx, xy, yy), _ = lax.scan(add, (jnp.zeros(LANES),) * 3, (xs, ys))
    return xx.sum()[None, None], xy.sum()[None], yy.sum()


def sums_of(x: Array, y: Array, device: jax.Device) -> list[Array]:
    """Return XᵀX, (d, d), Xᵀy, (d,), and yᵀy, float64.

    The rows go to the device block by block: a copy of them all would cost
    more than the sums, for the new memory that it needs. XLA leaves such work to one
    thread, so several hand it blocks.
    """
    d, threads = x.shape[1], processors()
    if d == 1 and device.platform == "cpu":
        products, blocks = line_products, line_blocks(x, y)
    else:
        rows = min(len(y), max(64, GRAM_BYTES // (8 * d)))
        products, blocks = block_products, cut(x, y, rows)

    def share(mine: list[tuple[Array, Array]]) -> list[Array]:
        total: list[Array] = [np.zeros((d, d)), np.zeros(d), np.zeros(())]
        handed = (products(*jax.device_put(block, device)) for block in mine)
        for sums, _ in pairwise(chain(handed, [()])):  # XLA has the next one to do already
            for of, part in zip(total, sums, strict=True):
                of += np.asarray(part)
        return total

    parts = in_threads(share, (blocks[i::threads] for i in range(min(threads, len(blocks)))))
    return [np.sum(part, axis=0) for part in zip(*parts, strict=True)]


def cut(x: Array, y: Array, rows: int) -> list[tuple[Array, Array]]:
    """Return blocks of one shape, so that no other number of rows compiles anew."""
    starts = range(0, len(y), rows)
    return [filled_up(x[at : at + rows], y[at : at + rows], rows) for at in starts]


def line_blocks(x: Array, y: Array) -> list[tuple[Array, Array]]:
    """Return blocks of one feature, all of one shape, too: one of the eleven that there are.

    They begin where JAX takes them without a copy, if x and y have such places in
    common. What is before the first and behind the last makes up blocks of its own.
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
    """`steps` steps ``w ← w − rate·(XᵀX·w − Xᵀy)``."""
    return repeat(lambda w: w - rate * (xtx @ w - xty), w, steps, unrolled)


class Gram(PerStep):
    """One pass for XᵀX and Xᵀy in float64, then steps that cost O(d²); least squares only."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.learning_rate = problem.rows, learning_rate
        sums = sums_of(problem.x.reshape(problem.rows, -1), problem.y, self.device)
        self.xtx, self.xty, self.yty = jax.block_until_ready(jax.device_put(sums, self.device))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        rate = 2 * self.learning_rate / self.rows
        start, unrolled = self._put(w), self.unrolled
        return np.array(gram_loop(start, self.xtx, self.xty, rate, steps, unrolled))

    def moments(self) -> tuple[Weights, Weights, float]:
        return np.array(self.xtx), np.array(self.xty), float(self.yty)

    def gradient(self, w: ArrayLike) -> Weights:
        return np.array(self.xtx @ self._put(w) - self.xty)

    def loss(self, w: ArrayLike) -> float:
        weights = self._put(w)
        return (
            float(weights @ self.xtx @ weights - 2 * self.xty @ weights + self.yty) / self.rows
        )


def named_devices() -> dict[str, jax.Device]:
    """Return JAX's devices by our names, such as ``cpu``, ``cpu:1`` and ``cuda:0``."""
    named = {}
    for device in [*jax.devices(), *jax.devices("cpu")]:
        platform = "cuda" if device.platform == "gpu" else device.platform
        first_cpu = platform == "cpu" and device.id == jax.devices("cpu")[0].id
        named["cpu" if first_cpu else f"{platform}:{device.id}"] = device
    return named


def devices(technique: str) -> Mapping[str, str]:
    """JAX's own list, its host devices included; blocks for a cache are for those alone."""
    found = named_devices()
    return {k: "" for k, d in found.items() if technique != "blocked" or d.platform == "cpu"}


def peak_device_bytes(device: str) -> int | None:
    """From the device's allocator; None where it keeps no count (the host)."""
    stats = named_devices()[device].memory_stats()
    return stats["peak_bytes_in_use"] if stats else None
