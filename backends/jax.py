"""JAX: the gradient by ``jax.grad``, compiled by ``jax.jit``."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.interface import Place, Weights
from backends.problem import Problem

# float64 data and a float64 w are silently float32 without this.
jax.config.update("jax_enable_x64", True)


def mean_squared_error(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The loss, in the data's dtype; w is cast, so its gradient is float64."""
    w = w.astype(x.dtype)
    residual = (x * w if x.ndim == 1 else x @ w) - y
    return jnp.mean(residual**2)


gradient_of_loss = jax.grad(mean_squared_error)


@jax.jit
def step(w: jax.Array, x: jax.Array, y: jax.Array, learning_rate: float) -> jax.Array:
    """One step of gradient descent."""
    stepped: jax.Array = w - learning_rate * gradient_of_loss(w, x, y)
    return stepped


@jax.jit
def loop(
    w: jax.Array, x: jax.Array, y: jax.Array, learning_rate: float, steps: int
) -> jax.Array:
    """`steps` steps; their number is data, so it may change without compiling."""
    end: jax.Array = lax.fori_loop(0, steps, lambda _, w: step(w, x, y, learning_rate), w)
    return end


class PerStep:
    """``jit(grad(loss))``, called once a step from Python."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = _devices()[device]
        self.x, self.y = jax.block_until_ready(
            jax.device_put((problem.x, problem.y), self.device)
        )
        self.learning_rate = learning_rate

    def run(self, w: ArrayLike, steps: int) -> Weights:
        on_device = self._put(w)
        for _ in range(steps):
            on_device = step(on_device, self.x, self.y, self.learning_rate)
        return np.array(on_device)  # the copy to the host waits for the device

    def gradient(self, w: ArrayLike) -> Weights:
        scale = len(self.y) / 2
        return scale * np.asarray(jax.jit(gradient_of_loss)(self._put(w), self.x, self.y))

    def loss(self, w: ArrayLike) -> float:
        return float(jax.jit(mean_squared_error)(self._put(w), self.x, self.y))

    def _put(self, w: ArrayLike) -> jax.Array:
        placed: jax.Array = jax.device_put(np.asarray(w, dtype=np.float64), self.device)
        return placed


class Loop(PerStep):
    """The whole descent in one compiled loop: Python is left once a run."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        return np.array(loop(self._put(w), self.x, self.y, self.learning_rate, steps))


TECHNIQUES: Mapping[str, Place] = {"": PerStep, "loop": Loop}


def _devices() -> dict[str, jax.Device]:
    named = {}
    for device in [*jax.devices(), *jax.devices("cpu")]:
        platform = "cuda" if device.platform == "gpu" else device.platform
        first_cpu = platform == "cpu" and device.id == jax.devices("cpu")[0].id
        named["cpu" if first_cpu else f"{platform}:{device.id}"] = device
    return named


def devices(technique: str) -> Mapping[str, str]:
    """JAX's own list, its host devices included."""
    return dict.fromkeys(_devices(), "")


def peak_device_bytes(device: str) -> int | None:
    """From the device's allocator; None where it keeps no count (the host)."""
    stats = _devices()[device].memory_stats()
    return stats["peak_bytes_in_use"] if stats else None
