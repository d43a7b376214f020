"""Descend with JAX: `jax` compiles one step, and `jax:loop` compiles a loop of steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.jax.devices import named_devices
from backends.jax.layout import (
    Data,
    fit_lanes,
    in_lanes,
    laid_out,
    over_lanes,
    predictions,
    total_of,
    values_of,
)
from backends.losses import SQUARED_ERROR, Loss
from backends.problem import Array, Problem

QUICK_COMPILATION = {"xla_cpu_use_fusion_emitters": False}
"""Option that selects XLA's older code generator for CPUs. For squared error, the older
generator needs two thirds of the newer generator's compilation time, and the compiled steps are
equally fast. For other losses and in `jax:blocked`, a step would take up to six times as long,
so the option is not set."""


def compiler_options(loss: Loss, platform: str) -> dict[str, bool]:
    """Return XLA's options for the steps of a loss on a platform, such as ``cpu``.

    With JAX 0.11 or later, the result is an empty dictionary.
    """
    # XLA refuses options that it does not have, and JAX 0.10 is the newest version tried.
    quick = loss == SQUARED_ERROR and platform == "cpu" and jax.__version_info__ < (0, 11)
    return QUICK_COMPILATION if quick else {}


UNROLLED = 16
"""Number of steps in one iteration of a loop on a GPU. Several steps are better than one,
because the GPU waits after each iteration until the host starts the next iteration."""


def unrolled_on(device: jax.Device) -> int:
    """Return the number of steps in one iteration of a compiled loop on a device."""
    return 1 if device.platform == "cpu" else UNROLLED


def repeat(
    once: Callable[[jax.Array], jax.Array], w: jax.Array, steps: int, unrolled: int
) -> jax.Array:
    """Take `steps` steps ``w ← once(w)`` in a compiled loop, and return the last w.

    The compiled loop works for any number of steps. `unrolled` is the number of steps in one
    iteration of the loop.
    """

    def several(_: int, w: jax.Array) -> jax.Array:
        for _ in range(unrolled):
            w = lax.optimization_barrier(once(w))  # each step is compiled like a single step
        return w

    w = lax.fori_loop(0, steps // unrolled, several, w)
    if unrolled > 1:
        w = lax.fori_loop(0, steps % unrolled, lambda _, w: once(w), w)
    return w


Gradient = Callable[..., jax.Array]
"""``gradient(w, x, y, rows, transposed=False)`` returns the gradient of the losses summed over
the rows in x and y, divided by `rows`. `rows` is the number of rows in the whole data; x and y
can be a part of the data."""


def gradient_of(loss: Loss) -> Gradient:
    """Return the gradient of a loss, which ``jax.grad`` derives from the loss's value."""
    values = values_of(loss)

    def mean(
        w: jax.Array, x: Data, y: jax.Array, rows: int, transposed: bool = False
    ) -> jax.Array:
        return jnp.sum(values(predictions(w, x, transposed), y)) / rows

    return jax.grad(mean)


class Compiled(NamedTuple):
    """The compiled functions of a loss; each function is compiled at its first call."""

    step: Callable[..., jax.Array]
    """``step(w, x, y, rows, learning_rate)`` takes one step and returns the new w."""
    loop: Callable[..., jax.Array]
    """``loop(w, x, y, rows, learning_rate, steps, unrolled=…)`` takes `steps` steps and returns
    the last w. Each iteration of the compiled loop takes `unrolled` steps."""
    gradient: Gradient
    loss: Callable[..., jax.Array]
    """``loss(w, x, y, rows)`` returns the summed loss of the first `rows` rows. Later rows are
    padding."""


@cache
def compiled(loss: Loss, platform: str) -> Compiled:
    """Return the compiled functions of a loss for a platform, such as ``cpu``."""
    of_rows, values = gradient_of(loss), values_of(loss)
    of_lanes = jax.jit(of_rows)  # JAX derives the gradient of a row of lanes only once
    jit = partial(jax.jit, compiler_options=compiler_options(loss, platform))

    def gradient(w: Any, x: Data, y: Any, rows: int) -> Any:
        if isinstance(x, tuple) and y.ndim == 2:
            return over_lanes(of_lanes, w, x, y, rows)
        return of_rows(w, x, y, rows)

    def step(w: Any, x: Data, y: Any, rows: int, learning_rate: float) -> Any:
        return w - learning_rate * gradient(w, x, y, rows)

    def loop(
        w: Any, x: Data, y: Any, rows: int, learning_rate: float, steps: int, unrolled: int
    ) -> Any:
        return repeat(lambda w: step(w, x, y, rows, learning_rate), w, steps, unrolled)

    def total(w: Any, x: Data, y: Any, rows: int) -> Any:
        return total_of(values(predictions(w, x), y), rows)

    return Compiled(jit(step), jit(loop, static_argnames="unrolled"), jit(gradient), jit(total))


class PerStep:
    """The technique `jax`: Python calls ``jit(grad(loss))`` once for each step."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.learning_rate = problem.rows, learning_rate
        self.compiled = compiled(problem.loss, self.device.platform)
        self.scale = problem.loss.scale
        data = self.layout(problem)
        self.x, self.y = jax.block_until_ready(jax.device_put(data, self.device))

    def layout(self, problem: Problem) -> tuple[Array | tuple[Array, ...], Array]:
        """Return X and y in the layout of the compiled functions."""
        return laid_out(problem)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        on_device, step = self._put(w), self.compiled.step
        for _ in range(steps):
            on_device = step(on_device, self.x, self.y, self.rows, self.learning_rate)
        return np.array(on_device)  # the copy to the host waits for the device

    def gradient(self, w: ArrayLike) -> Weights:
        gradient = self.compiled.gradient(self._put(w), self.x, self.y, self.rows)
        return np.asarray(gradient, dtype=np.float64) * (self.rows / self.scale)

    def loss(self, w: ArrayLike) -> float:
        return float(self.compiled.loss(self._put(w), self.x, self.y, self.rows)) / self.rows

    def _put(self, w: ArrayLike) -> jax.Array:
        placed: jax.Array = jax.device_put(np.asarray(w, dtype=np.float64), self.device)
        return placed


class Loop(PerStep):
    """The technique `jax:loop`: Python calls one compiled loop for the whole descent."""

    def layout(self, problem: Problem) -> tuple[Array | tuple[Array, ...], Array]:
        """Return X and y in the layout of the compiled functions.

        On a CPU, the rows are divided into lanes (groups of rows that are summed separately) if
        both of these conditions hold:

        - The sums of all lanes fit in a cache.
        - The data have one feature, or they have two features and the loss is squared error.
        """
        most = 2 if problem.loss == SQUARED_ERROR else 1
        lanes = problem.features <= most and fit_lanes(problem)
        on_cpu = self.device.platform == "cpu"
        return in_lanes(problem) if on_cpu and lanes else laid_out(problem)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        start, rate = self._put(w), self.learning_rate
        unrolled = unrolled_on(self.device)
        loop = self.compiled.loop
        return np.array(loop(start, self.x, self.y, self.rows, rate, steps, unrolled=unrolled))
