"""Functions that a loss can use, such as exp and where, for PyTorch.

`backends.losses.FUNCTIONS` lists their names. The functions accept Python numbers as well as
tensors.
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


def _where(dtype: torch.dtype) -> Callable[[Any, Any, Any], Any]:
    """Return the function ``where(condition, yes, no)`` for data of a dtype.

    If `yes` and `no` are Python numbers, the result has the given dtype, whereas the result of
    ``torch.where`` would be float32.
    """

    def where(condition: Any, yes: Any, no: Any) -> Any:
        if not isinstance(condition, Tensor):
            return yes if condition else no
        if not isinstance(yes, Tensor) and not isinstance(no, Tensor):
            yes = torch.full((), yes, dtype=dtype, device=condition.device)
        return torch.where(condition, yes, no)

    return where


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


XP = {
    dtype: SimpleNamespace(
        exp=_of_one(torch.exp, math.exp),
        log=_of_one(torch.log, math.log),
        log1p=_of_one(torch.log1p, math.log1p),
        sqrt=_of_one(torch.sqrt, math.sqrt),
        abs=_of_one(torch.abs, abs),
        tanh=_of_one(torch.tanh, math.tanh),
        where=_where(dtype),
        minimum=_minimum,
        maximum=_maximum,
        clip=_clip,
    )
    for dtype in (torch.float32, torch.float64)
}
"""For each dtype, the namespace that is passed as `xp` to the function `value` of a loss.
Autograd can differentiate its functions, and ``torch.compile`` can compile them."""


Pointwise = Callable[[Tensor, Tensor], Tensor]
"""``function(p, y)`` returns one result for each row. The predictions p, the targets y and the
result have the shape (n,)."""


def _squares(prediction: Tensor, y: Tensor) -> Tensor:
    return (prediction - y).square()


def values_of(loss: Loss) -> Pointwise:
    """Return a function that computes each row's loss, in a form that is fast with autograd."""
    if loss == SQUARED_ERROR:  # `square` subtracts once, and its gradient is one product
        return _squares
    value = loss.value
    return lambda prediction, y: value(XP[prediction.dtype], prediction, y)


_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}


def _selected(dtype: torch.dtype) -> Callable[[Any, Any, Any], Any]:
    """Return a function ``where(condition, yes, no)`` that does not branch on the CPU.

    This function uses bit masks, because ``torch.where`` branches and is slow if the conditions
    are random. Autograd cannot differentiate bit masks.
    """
    branching = _where(dtype)

    def where(condition: Any, yes: Any, no: Any) -> Any:
        if not isinstance(condition, Tensor) or condition.is_cuda:
            return branching(condition, yes, no)
        values = next((v for v in (yes, no) if isinstance(v, Tensor)), None)
        kind = dtype if values is None else values.dtype
        if kind not in _INTEGERS:
            return branching(condition, yes, no)
        integers = _INTEGERS[kind]
        a, b = (torch.as_tensor(v, dtype=kind).view(integers) for v in (yes, no))
        mask = condition.to(integers).neg_()  # all bits are set where the condition is true
        return torch.bitwise_xor(a, b).bitwise_and(mask).bitwise_xor(b).view(kind)

    return where


SLOPE_XP = {
    dtype: SimpleNamespace(**vars(xp) | {"where": _selected(dtype)}) for dtype, xp in XP.items()
}
"""For each dtype, the namespace that is passed as `xp` to the function `slope` of a loss. Its
functions are those in `XP`, except for a faster `where`, which autograd cannot
differentiate."""


IN_PLACE: dict[Loss, Pointwise] = {
    LOG_LOSS: lambda prediction, y: prediction.sigmoid_().sub_(y),
    HUBER: lambda prediction, y: prediction.sub_(y).clamp_(-1.0, 1.0),
    POISSON: lambda prediction, y: prediction.exp_().sub_(y),
}
"""For some losses, a fast function ``slopes(p, y)`` that overwrites the predictions p with the
slopes. A slope is the derivative of the loss with respect to p."""


def slopes_of(loss: Loss) -> Pointwise:
    """Return a function ``slopes(p, y)`` that computes the slope of each row.

    A slope is the derivative of the loss with respect to the prediction p, in the dtype of p.
    The function is allowed to overwrite p.
    """
    if loss in IN_PLACE:
        return IN_PLACE[loss]
    slope = loss.slope
    assert slope is not None  # noqa: S101 the catalogue has checked the loss
    return lambda p, y: slope(SLOPE_XP[p.dtype], p, y).to(p.dtype)
