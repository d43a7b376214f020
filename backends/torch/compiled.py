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
    """The loss as a compiler takes it best.

    Element-wise work and sums it can fuse and keep exact; on a GPU, though, its code for
    several features is 5 to 40 times slower than the library's products.
    """
    if x.is_cuda and x.ndim > 1:
        return residual(w, x, y).square().mean()
    w = w.to(x.dtype)
    prediction = x * w if x.ndim == 1 else (x * w).sum(1)
    return (prediction - y).square().mean()


def autograd_step(w: Tensor, x: Tensor, y: Tensor, learning_rate: Tensor) -> Tensor:
    """Return w after one step, the gradient by ``torch.func.grad``."""
    gradient: Tensor = torch.func.grad(mean_squared_error)(w, x, y)
    return w - learning_rate * gradient


@cache
def compiled_step() -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Compile `autograd_step`; not at import, since the compiler's own import is slow.

    Rows are a dynamic size and the learning rate is a tensor, so that another
    n or rate does not compile anew; only where PyTorch starts to use several
    threads, at some thousand rows, is there a second version.
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
