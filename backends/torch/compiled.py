"""Autograd's step under ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.torch.autograd import Autograd, residual, to_host


def mean_squared_error(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the loss, written as PyTorch's compiler handles it best.

    The compiler fuses element-wise work with exact sums. On a GPU with several features,
    however, its code is 5 to 40 times slower than the library's products.
    """
    if x.is_cuda and x.ndim > 1:
        return residual(w, x, y).square().mean()
    w = w.to(x.dtype)
    prediction = x * w if x.ndim == 1 else (x * w).sum(1)
    return (prediction - y).square().mean()


def autograd_step(w: Tensor, x: Tensor, y: Tensor, learning_rate: Tensor) -> Tensor:
    """Return w after one step; ``torch.func.grad`` derives the gradient."""
    gradient: Tensor = torch.func.grad(mean_squared_error)(w, x, y)
    return w - learning_rate * gradient


@cache
def compiled_step() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return `autograd_step` compiled; importing the compiler takes seconds.

    The number of rows is dynamic and the learning rate is a tensor, so another n or rate
    does not compile again. PyTorch compiles a second version for more than some thousand
    rows, for which it uses several threads.
    """
    return torch.compile(autograd_step, dynamic=True, fullgraph=True)


class Compiled(Autograd):
    """Autograd's step under ``torch.compile``: forward and backward in one kernel."""

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        rate = torch.tensor(self.learning_rate, dtype=torch.float64, device=self.device)
        step = compiled_step()
        for _ in range(steps):
            weights = step(weights, self.x, self.y, rate)
        return to_host(weights)
