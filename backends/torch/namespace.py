"""PyTorch's versions of the functions that a loss may use (`backends.losses.FUNCTIONS`).

Unlike PyTorch's own functions, they accept Python numbers as well as tensors. Each function in
`XP` can be differentiated and compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from backends.losses import HUBER, LOG_LOSS, POISSON, SQUARED_ERROR, Loss


def _of_one(tensors: Callable[[Tensor], Tensor], number: Callable[[float], float]) -> Any:
    def function(values: Any) -> Any:
        return tensors(values) if isinstance(values, Tensor) else number(values)

    return function


def _where(condition: Any, yes: Any, no: Any) -> Any:
    if isinstance(condition, Tensor):
        return torch.where(condition, yes, no)
    return yes if condition else no


def _minimum(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.minimum(a, b)
    if isinstance(a, Tensor):
        return a.clamp(max=b)
    return b.clamp(max=a) if isinstance(b, Tensor) else min(a, b)


def _maximum(a: Any, b: Any) -> Any:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.maximum(a, b)
    if isinstance(a, Tensor):
        return a.clamp(min=b)
    return b.clamp(min=a) if isinstance(b, Tensor) else max(a, b)


def _clip(values: Any, lowest: Any, highest: Any) -> Any:
    return _minimum(_maximum(values, lowest), highest)


XP = SimpleNamespace(
    exp=_of_one(torch.exp, math.exp),
    log=_of_one(torch.log, math.log),
    log1p=_of_one(torch.log1p, math.log1p),
    sqrt=_of_one(torch.sqrt, math.sqrt),
    abs=_of_one(torch.abs, abs),
    tanh=_of_one(torch.tanh, math.tanh),
    where=_where,
    minimum=_minimum,
    maximum=_maximum,
    clip=_clip,
)
"""The namespace passed to the value of a loss."""


Pointwise = Callable[[Tensor, Tensor], Tensor]
"""A function of the predictions and targets, (n,), that returns a result for each row, (n,)."""


def _squares(prediction: Tensor, y: Tensor) -> Tensor:
    return (prediction - y).square()


def values_of(loss: Loss) -> Pointwise:
    """Return a function for the loss of each row, in the form that autograd runs fastest."""
    if loss == SQUARED_ERROR:  # `square` subtracts once, and its gradient is one product
        return _squares
    value = loss.value
    return lambda prediction, y: value(XP, prediction, y)


_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}


def _selected(condition: Any, yes: Any, no: Any) -> Any:
    """Select like `_where`, but without branches on the CPU; autograd cannot differentiate it.

    ``torch.where`` branches on the CPU: with random conditions, it takes 3.5 ns a value.
    """
    values = next((v for v in (yes, no) if isinstance(v, Tensor)), None)
    if values is None or values.is_cuda or values.dtype not in _INTEGERS:
        return _where(condition, yes, no)
    integers = _INTEGERS[values.dtype]
    a, b = (torch.as_tensor(v, dtype=values.dtype).view(integers) for v in (yes, no))
    mask = condition.to(integers).neg_()  # all bits are set where the condition is true
    return torch.bitwise_xor(a, b).bitwise_and(mask).bitwise_xor(b).view(values.dtype)


SLOPE_XP = SimpleNamespace(**vars(XP) | {"where": _selected})
"""The namespace passed to slopes, which are not differentiated."""


IN_PLACE: dict[Loss, Pointwise] = {
    LOG_LOSS: lambda prediction, y: prediction.sigmoid_().sub_(y),
    HUBER: lambda prediction, y: prediction.sub_(y).clamp_(-1.0, 1.0),
    POISSON: lambda prediction, y: prediction.exp_().sub_(y),
}
"""Slopes that overwrite the predictions, written with PyTorch's fastest functions."""


def slopes_of(loss: Loss) -> Pointwise:
    """Return a function that computes the slope of each row in the predictions' dtype.

    The function may overwrite the predictions.
    """
    if loss in IN_PLACE:
        return IN_PLACE[loss]
    slope = loss.slope
    assert slope is not None  # noqa: S101 the catalogue has checked the loss
    return lambda prediction, y: slope(SLOPE_XP, prediction, y).to(prediction.dtype)
