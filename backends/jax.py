"""JAX: the gradient by ``jax.grad``, compiled by ``jax.jit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.interface import Place, Weights
from backends.problem import Array, Problem
from backends.processors import processors

# float64 data and a float64 w are silently float32 without this.
jax.config.update("jax_enable_x64", True)


BLOCK_ROWS = 8192
"""Of a block, where features are many."""

LINE_ROWS = 1 << 18
GRAM_BYTES = 1 << 22
"""Of a block in `sums_of`, of one feature and of more, as float64."""

MOST_COLUMNS = 8
"""Most features that are laid out in columns."""

Data = jax.Array | tuple[jax.Array, ...]
"""X as blocks of rows, (blocks, rows, d), as one of them, or as columns of (n,)."""


def mean_squared_error(w: jax.Array, x: Data, y: jax.Array, rows: int) -> jax.Array:
    """The loss of `rows` rows, laid out as `laid_out` does, in the data's dtype.

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
        prediction = x @ w.astype(x.dtype)
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


COLUMNS_BYTES, BLOCK_BYTES = 1 << 18, 1 << 17
"""Of a block in `Blocked`, of few features and of many: it stays in a core's cache."""


@jax.jit
def share_gradient(w: jax.Array, x: Data, y: jax.Array, rows: int) -> jax.Array:
    """Return the gradient of the loss of some blocks of rows, one block after the other."""

    def add(total: jax.Array, block: tuple[Data, jax.Array]) -> tuple[jax.Array, None]:
        return total + gradient_of_loss(w, *block, rows), None

    total, _ = lax.scan(add, jnp.zeros_like(w), (x, y))
    return total


def in_shares(problem: Problem, threads: int) -> list[tuple[Array | tuple[Array, ...], Array]]:
    """Return a share of the rows a thread: (blocks, rows, d), few features as columns."""
    n, d = problem.rows, problem.features
    limit = COLUMNS_BYTES if d <= MOST_COLUMNS else BLOCK_BYTES
    rows = max(64, limit // (d * problem.x.itemsize))
    blocks = -(-n // (threads * rows))
    rows = -(-n // (threads * blocks))
    shape = threads, blocks, rows
    if d > MOST_COLUMNS:
        x, y = filled_up(problem.x, problem.y, threads * blocks * rows)
        return list(zip(x.reshape(*shape, d), y.reshape(shape), strict=True))
    missing = threads * blocks * rows - n  # column by column: no copy of all of X
    *columns, targets = (
        np.pad(column, (0, missing)).reshape(shape)
        for column in (*problem.x.reshape(n, d).T, problem.y)
    )
    return list(zip(zip(*columns, strict=True), targets, strict=True))


class Blocked(PerStep):
    """Blocks of rows that stay in cache, a share of them a thread; for the CPU.

    XLA gives a step's two products to separate kernels, which both read all of X. Here each
    thread of ours has the gradients of its blocks taken one after the other.
    """

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.learning_rate = problem.rows, learning_rate
        shares = in_shares(problem, processors())
        self.shares = jax.block_until_ready(jax.device_put(shares, self.device))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self._sum_of(share_gradient, w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        return self._sum_of(share_gradient, np.asarray(w, dtype=np.float64)) * (self.rows / 2)

    def loss(self, w: ArrayLike) -> float:
        return float(self._sum_of(jax.jit(mean_squared_error), np.asarray(w, np.float64)))

    def _sum_of(self, of: Callable[..., jax.Array], w: Weights) -> Weights:
        def mine(share: tuple[Data, jax.Array]) -> Weights:
            return np.asarray(of(w, *share, self.rows), dtype=np.float64)

        total: Weights = np.sum(list(pool(len(self.shares)).map(mine, self.shares)), axis=0)
        return total


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that XLA is called from."""
    return ThreadPoolExecutor(threads)


@jax.jit
def block_products(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """Return XᵀX, Xᵀy and yᵀy of a block of rows, float64."""
    x, y = x.astype(jnp.float64), y.astype(jnp.float64)
    return x.T @ x, y @ x, y @ y


@jax.jit
def line_products(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """Return Σ x², Σ x·y and Σ y² of one feature, float64, in one pass.

    One reduction of all three: XLA runs three sums one after the other, and
    each of them slower.
    """
    x, y = x[:, 0].astype(jnp.float64), y.astype(jnp.float64)
    zero = jnp.zeros(())
    xx, xy, yy = lax.reduce(
        (x * x, x * y, y * y),
        (zero, zero, zero),
        lambda one, other: tuple(a + b for a, b in zip(one, other, strict=True)),
        (0,),
    )
    return xx[None, None], xy[None], yy


def sums_of(x: Array, y: Array, device: jax.Device) -> list[Array]:
    """Return XᵀX, (d, d), Xᵀy, (d,), and yᵀy, float64.

    The rows go to the device block by block: a copy of them all would cost
    more than the sums, for the new memory that it needs. XLA leaves such work to one
    thread, so several hand it blocks. All have one shape, the last is filled up with
    zeros: no other number of rows compiles anew.
    """
    d = x.shape[1]
    products = line_products if d == 1 else block_products
    rows = LINE_ROWS if d == 1 else max(64, GRAM_BYTES // (8 * d))
    rows = min(rows, len(y))
    starts, threads = range(0, len(y), rows), processors()

    def share(mine: range) -> list[Array]:
        total: list[Array] = [np.zeros((d, d)), np.zeros(d), np.zeros(())]
        for start in mine:
            block = filled_up(x[start : start + rows], y[start : start + rows], rows)
            more = products(*jax.device_put(block, device))
            for of, part in zip(total, more, strict=True):
                of += np.asarray(part)
        return total

    parts = list(pool(threads).map(share, (starts[i::threads] for i in range(threads))))
    return [np.sum(part, axis=0) for part in zip(*parts, strict=True)]


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


TECHNIQUES: Mapping[str, Place] = {"": PerStep, "loop": Loop, "blocked": Blocked, "gram": Gram}


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
