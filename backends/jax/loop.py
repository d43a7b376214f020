"""The gradient by ``jax.grad``: a compiled step, and a compiled loop of steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.jax.devices import named_devices
from backends.jax.layout import (
    Data,
    laid_out,
    mean_squared_error,
)
from backends.problem import Problem

gradient_of_loss = jax.grad(mean_squared_error)


@jax.jit
def step(w: jax.Array, x: Data, y: jax.Array, rows: int, learning_rate: float) -> jax.Array:
    """Take one step of gradient descent."""
    stepped: jax.Array = w - learning_rate * gradient_of_loss(w, x, y, rows)
    return stepped


UNROLLED = 16
"""Steps in one iteration of a GPU's loop: the host is asked once an iteration to go on."""


def unrolled_on(device: jax.Device) -> int:
    """Return the steps in one iteration of a compiled loop on a device."""
    return 1 if device.platform == "cpu" else UNROLLED


def repeat(
    once: Callable[[jax.Array], jax.Array], w: jax.Array, steps: int, unrolled: int
) -> jax.Array:
    """Take `steps` steps; their number is data, so another number does not compile again."""

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
    """Take `steps` steps of gradient descent."""
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

    def _put(self, w: ArrayLike) -> jax.Array:
        placed: jax.Array = jax.device_put(np.asarray(w, dtype=np.float64), self.device)
        return placed


class Loop(PerStep):
    """The whole descent in one compiled loop, which Python calls once a run."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        start, rate = self._put(w), self.learning_rate
        return np.array(
            loop(
                start, self.x, self.y, self.rows, rate, steps, unrolled=unrolled_on(self.device)
            )
        )
