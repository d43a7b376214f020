"""Descend on a GPU with JAX and a Triton kernel that reads X once per step.

With three or more features, XLA's own gradient would read X twice per step. Each step of the
compiled loop therefore calls the kernel of `backends.onepass` through jax-triton
(https://github.com/jax-ml/jax-triton). The kernel uses the slope of the loss, so JAX does
not have to derive a gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.jax.devices import named_devices
from backends.jax.layout import total_of, values_of
from backends.jax.loop import Loop, repeat, unrolled_on
from backends.jax.triton import reason_against_one_pass, triton_call
from backends.losses import Loss
from backends.onepass import FEWEST_FEATURES, MOST_FEATURES
from backends.problem import Array, Problem

PROCESSORS = 128
"""Assumed number of multiprocessors of a GPU, if JAX does not report it."""


def loop(problem: Problem, learning_rate: float, device: str) -> Loop | OnePass:
    """Return a `OnePass` if the Triton kernel supports the problem; otherwise a `Loop`."""
    on_gpu = named_devices()[device].platform == "gpu"
    several = FEWEST_FEATURES <= problem.features <= MOST_FEATURES
    if on_gpu and several and not reason_against_one_pass(problem.loss):
        return OnePass(problem, learning_rate, device)
    return Loop(problem, learning_rate, device)


class Compiled(NamedTuple):
    """The compiled functions of a loss; each function is compiled at its first call."""

    loop: Callable[..., jax.Array]
    """``loop(w, x, y, scale, steps, rows=…, unrolled=…)`` subtracts ``scale·gradient`` from w
    in each of `steps` steps, and returns the last w. `rows` is the number of rows without
    padding. Each iteration of the compiled loop takes `unrolled` steps."""
    gradient: Callable[..., jax.Array]
    """``gradient(w, x, y, rows=…)`` returns ``xᵀ·slope``, not divided by the number of rows."""
    loss: Callable[..., jax.Array]
    """``loss(w, x, y, rows=…)`` returns the summed loss of the first `rows` rows. Later rows
    are padding."""


@cache
def compiled(loss: Loss, processors: int) -> Compiled:
    """Return a `Compiled` for a loss and for a GPU with `processors` multiprocessors."""
    from backends.onepass import kernel  # imports Triton

    values = values_of(loss)

    def gradient(w: jax.Array, x: jax.Array, y: jax.Array, rows: int) -> jax.Array:
        features = len(w)
        strides = (1, x.shape[1]) if by_column(features) else (features, 1)
        itemsize = x.dtype.itemsize
        planned = kernel.plan(loss, (rows, features), strides, itemsize, processors)
        sums: jax.Array = triton_call()(
            *(x, y, w, rows, planned.column_units),
            kernel=kernel.add_tiles,
            out_type=jax.ShapeDtypeStruct((planned.programs, features), jnp.float64),
            grid=(planned.programs,),
            num_warps=kernel.WARPS,
            **planned.constants,
        )
        return sums.sum(axis=0)

    @partial(jax.jit, static_argnames=("rows", "unrolled"))
    def loop(
        w: jax.Array,
        x: jax.Array,
        y: jax.Array,
        scale: float,
        steps: int,
        rows: int,
        unrolled: int,
    ) -> jax.Array:
        return repeat(lambda w: w - scale * gradient(w, x, y, rows), w, steps, unrolled)

    @partial(jax.jit, static_argnames="rows")
    def total(w: jax.Array, x: jax.Array, y: jax.Array, rows: int) -> jax.Array:
        cast, highest = w.astype(x.dtype), lax.Precision.HIGHEST
        a, b = (cast, x) if by_column(len(w)) else (x, cast)
        prediction = jnp.matmul(a, b, precision=highest)[:rows]
        return total_of(values(prediction, y), rows)

    return Compiled(loop, jax.jit(gradient, static_argnames="rows"), total)


def by_column(features: int) -> bool:
    """Return whether X with `features` features should be stored by column for the kernel."""
    from backends.onepass import kernel

    return features <= kernel.MOST_COLUMNS


def laid_out(problem: Problem) -> Array:
    """Return X of shape (n, d), or the transposed X if it should be stored by column.

    The transposed X has the shape (d, m), where m is n rounded up to a multiple of `UNIT`. The
    added values are zeros.
    """
    from backends.onepass import kernel

    x = problem.x.reshape(problem.rows, problem.features)
    if not by_column(problem.features):
        return np.ascontiguousarray(x)
    return np.pad(x.T, ((0, 0), (0, -problem.rows % kernel.UNIT)))


class OnePass:
    """Descent in one compiled loop, in which each step calls the Triton kernel once."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.device = named_devices()[device]
        self.rows, self.row_loss = problem.rows, problem.loss
        self.scale = problem.loss.scale * learning_rate / problem.rows
        self.compiled = compiled(problem.loss, getattr(self.device, "core_count", PROCESSORS))
        data = laid_out(problem), problem.y
        self.x, self.y = jax.block_until_ready(jax.device_put(data, self.device))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        unrolled, scale = unrolled_on(self.device), self.scale
        start, loop = self._put(w), self.compiled.loop
        return np.array(
            loop(start, self.x, self.y, scale, steps, rows=self.rows, unrolled=unrolled)
        )

    def gradient(self, w: ArrayLike) -> Weights:
        sums = self.compiled.gradient(self._put(w), self.x, self.y, rows=self.rows)
        return np.array(sums)

    def loss(self, w: ArrayLike) -> float:
        total = self.compiled.loss(self._put(w), self.x, self.y, rows=self.rows)
        return float(total) / self.rows

    def _put(self, w: ArrayLike) -> jax.Array:
        placed: jax.Array = jax.device_put(np.asarray(w, dtype=np.float64), self.device)
        return placed
