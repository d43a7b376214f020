"""Test PyTorch as the namespace `xp` of losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from backends.losses import FUNCTIONS, LOSSES, Loss
from backends.torch.namespace import SLOPE_XP, XP, slopes_of, values_of

VALUES = np.array([-3.0, -1.0, -0.5, 0.25, 1.0, 2.0])

CALLS: dict[str, Any] = {
    "exp": lambda xp, v: xp.exp(v),
    "log": lambda xp, v: xp.log(xp.abs(v)),
    "log1p": lambda xp, v: xp.log1p(xp.exp(v)),
    "sqrt": lambda xp, v: xp.sqrt(xp.abs(v)),
    "abs": lambda xp, v: xp.abs(v),
    "tanh": lambda xp, v: xp.tanh(v),
    "where": lambda xp, v: (
        xp.where(v > 0.0, v, 0.0) + xp.where(v > 0.0, 1.0, -v) + xp.where(v > 0.0, 0.1, -0.9)
    ),
    "minimum": lambda xp, v: xp.minimum(v, 0.5) + xp.minimum(0.5, v) + xp.minimum(v, -v),
    "maximum": lambda xp, v: xp.maximum(v, 0.5) + xp.maximum(0.5, v) + xp.maximum(v, -v),
    "clip": lambda xp, v: xp.clip(v, -1.0, 1.0) + xp.clip(v, -xp.exp(v), 1.0),
}
"""Function of `xp` → a function that calls it as a loss may do."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_functions_are_numpys_on_tensors_and_on_numbers(name: str) -> None:
    call = CALLS[name]
    for dtype, accuracy in ((np.float32, 1e-6), (np.float64, 1e-15)):
        values = VALUES.astype(dtype)
        kind = getattr(torch, np.dtype(dtype).name)
        found = call(XP[kind], torch.tensor(values))
        assert found.dtype == kind
        np.testing.assert_allclose(found, call(np, values), accuracy)
    numbers = [call(XP[torch.float64], v) for v in VALUES.tolist()]
    np.testing.assert_allclose(numbers, call(np, VALUES), 1e-15)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_autograd_of_the_value_is_the_slope(loss: Loss) -> None:
    p = torch.linspace(-30, 30, 242, dtype=torch.float64).requires_grad_()
    y = (torch.arange(242) % 2).double()
    values_of(loss)(p, y).sum().backward()
    np.testing.assert_allclose(
        p.grad, loss.scale * slopes_of(loss)(p.detach().clone(), y), 1e-12, 1e-12
    )
    at_zero = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    values_of(loss)(at_zero, y[:2]).sum().backward()
    expected = loss.scale * slopes_of(loss)(at_zero.detach().clone(), y[:2])
    np.testing.assert_allclose(at_zero.grad, expected, 1e-12, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_a_slope_is_the_losses_far_from_the_minimum_too(loss: Loss, dtype: str) -> None:
    assert loss.slope is not None
    far = [] if loss.name == "poisson" else [-1e4, -90, 90, 200, 1e4]
    p = np.concatenate([np.linspace(-30, 30, 241), far]).astype(dtype)
    y = (np.arange(len(p)) % 2).astype(dtype)
    expected = loss.slope(np, p.astype(np.float64), y.astype(np.float64))
    found = slopes_of(loss)(torch.tensor(p), torch.tensor(y))
    accuracy = 1e-6 if dtype == "float32" else 1e-14
    assert found.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(found, expected, accuracy, accuracy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_of_a_slope_selects_as_numpys_does(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 1000)).astype(dtype)
    a[:4], b[:4] = (np.nan, np.inf, -0.0, 1.0), (1.0, -np.inf, 0.0, np.nan)
    condition, at, bt = torch.tensor(a > b), torch.tensor(a), torch.tensor(b)
    xp = SLOPE_XP[getattr(torch, dtype)]
    for yes, no in ((a, b), (a, 1.5), (-2.0, b), (a, 0), (0.1, -0.9)):
        tensors = [at if v is a else bt if v is b else v for v in (yes, no)]
        found = xp.where(condition, *tensors)
        assert found.dtype == getattr(torch, dtype)
        np.testing.assert_array_equal(found, np.where(a > b, yes, no).astype(dtype))
    assert xp.where(True, 1.0, 2.0) == 1.0
