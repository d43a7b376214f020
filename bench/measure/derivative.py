"""Differentiate a user's loss in float64 with JAX or PyTorch, if the user defined no slope."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.errors import ProblemError
from backends.losses import FUNCTIONS, Loss

Float64 = NDArray[np.float64]

Slope = Callable[[Float64, Float64], Float64]


def derivative(loss: Loss) -> Slope:
    """Return the derivative of the loss's value with respect to the prediction.

    PyTorch computes the derivative if JAX is not installed, or if PyTorch is already imported
    and JAX is not. Otherwise JAX computes the derivative.

    Raises
    ------
    ProblemError
        Neither JAX nor PyTorch is installed.
    """
    makers = {"jax": _by_jax, "torch": _by_torch}
    here = [name for name in makers if importlib.util.find_spec(name) is not None]
    if not here:
        raise ProblemError(
            f"the float64 check of {loss.name} needs its slope: define slope in the loss's "
            "file, or install JAX or PyTorch"
        )
    chosen = next((name for name in here if name in sys.modules), here[0])
    return makers[chosen](loss)


def _by_jax(loss: Loss) -> Slope:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # as in the backends for JAX
    found = jax.grad(lambda p, y: jnp.sum(loss.value(jnp, p, y)))

    def slope(p: Float64, y: Float64) -> Float64:
        with jax.default_device(jax.devices("cpu")[0]):
            return np.asarray(found(jnp.asarray(p), jnp.asarray(y)))

    return slope


def _torch_functions() -> SimpleNamespace:
    """Return PyTorch's versions of `FUNCTIONS`; each accepts tensors and Python numbers."""
    import torch

    def of_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*values: Any) -> Any:
            tensors = (
                v if isinstance(v, torch.Tensor) else torch.as_tensor(v, dtype=torch.float64)
                for v in values
            )
            return function(*tensors)

        return called

    return SimpleNamespace(**{name: of_numbers(getattr(torch, name)) for name in FUNCTIONS})


def _by_torch(loss: Loss) -> Slope:
    import torch

    xp = _torch_functions()

    def slope(p: Float64, y: Float64) -> Float64:
        leaf = torch.tensor(p, requires_grad=True)
        loss.value(xp, leaf, torch.tensor(y)).sum().backward()
        assert leaf.grad is not None  # noqa: S101 backward has set the gradient
        return np.asarray(leaf.grad.numpy())

    return slope
