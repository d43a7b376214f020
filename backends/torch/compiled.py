"""Descend with steps that ``torch.compile`` compiles; autograd derives the gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.losses import Loss
from backends.problem import Problem
from backends.torch.autograd import Autograd, predictions, to_host
from backends.torch.namespace import Pointwise, values_of

Step = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``step(w, x, y, learning_rate)`` returns w after one step."""


PLAIN_HEADERS = {"cpp_cache_precompile_headers": False}
"""Compiler setting: do not precompile the C++ headers.

Precompiling takes 6 to 7 s and saves about 2 s for each kernel, but a descent has only one or
two kernels.
"""

TRUSTED_VECTORS = {"cpp.vec_isa_ok": True}
"""Compiler setting: use the same vector instructions as PyTorch's own kernels.

Without this setting, PyTorch compiles two or three test programs to find out which instructions
work. PyTorch's choice is the same with and without the setting, but the test programs take two
thirds of the compilation time.
"""


def settings() -> dict[str, Any]:
    """Return `PLAIN_HEADERS` and `TRUSTED_VECTORS`, if PyTorch supports these settings."""
    from torch._inductor import config, list_options  # takes a second

    found: dict[str, Any] = dict(PLAIN_HEADERS)
    vectors = torch.backends.cpu.get_cpu_capability() in {"AVX2", "AVX512"}
    if vectors and getattr(config.cpp, "vec_isa_ok", False) is None:  # the user set nothing
        found |= TRUSTED_VECTORS
    known = list_options()
    return {name: value for name, value in found.items() if name in known}


MOST_COLUMNS = 16
"""Largest number of features for which X is stored by column on the CPU. If X is stored by
column, the compiler makes one loop over the rows, with a sum for each feature. If X is stored
by row, the compiler makes two loops without vector instructions."""

COLUMN_BYTES, COLUMN_OFFSET = 1 << 12, 1 << 8
"""Distance between columns: a multiple of `COLUMN_BYTES` (4 kB), plus `COLUMN_OFFSET` (256
bytes). Without the offset, the columns would compete for the same cache lines."""


def in_columns(x: Tensor) -> Tensor:
    """Copy x of shape (n, d) to an array of columns of shape (d, n)."""
    n, d = x.shape
    apart = -(-n * x.itemsize // COLUMN_BYTES) * COLUMN_BYTES + COLUMN_OFFSET
    return x.new_empty(d, apart // x.itemsize)[:, :n].copy_(x.T)


def mean_loss(
    values: Pointwise, w: Tensor, x: Tensor, y: Tensor, by_column: bool = False
) -> Tensor:
    """Return the mean of a loss, written in the form that PyTorch compiles best.

    For data with several features on a GPU, the predictions are a matrix product. In all other
    cases, the predictions are element-wise products and sums, which the compiler turns into one
    loop. On a GPU, the matrix product is 5 to 40 times as fast as this loop.
    """
    if x.is_cuda and x.ndim > 1:
        return values(predictions(w, x), y).mean()
    w = w.to(x.dtype)
    if by_column:
        prediction = reduce(torch.add, (column * w[j] for j, column in enumerate(x.unbind())))
    else:
        prediction = x * w if x.ndim == 1 else (x * w).sum(1)
    return values(prediction, y).mean()


@cache
def compiled_step(
    loss: Loss, features: int, dtype: torch.dtype, by_column: bool = False
) -> Step:
    """Return a compiled function that takes one step with autograd.

    Importing the compiler takes seconds. Another number of rows or another learning rate needs
    no new compilation, with one exception: from a few thousand rows on, PyTorch compiles a
    second version, which uses several threads.
    """
    values = values_of(loss)

    def mean(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return mean_loss(values, w, x, y, by_column)

    def step(w: Tensor, x: Tensor, y: Tensor, learning_rate: Tensor) -> Tensor:
        gradient: Tensor = torch.func.grad(mean)(w, x, y)
        return w - learning_rate * gradient

    # PyTorch compiles at most eight versions of a code object. Each loss, number of features
    # and dtype therefore has its own code object.
    kind = f"{loss.name}_{features}_{dtype}_{by_column}".replace("-", "_").replace(".", "_")
    step.__code__ = step.__code__.replace(co_name=f"step_{kind}")
    return torch.compile(step, dynamic=True, fullgraph=True, options=settings())


class Compiled(Autograd):
    """Descent with steps that ``torch.compile`` compiles; autograd derives the gradient.

    On the CPU, X is stored by column if it has at most `MOST_COLUMNS` features.
    """

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        super().__init__(problem, learning_rate, device)
        columns = self.device.type == "cpu" and 2 <= problem.features <= MOST_COLUMNS
        self.step = compiled_step(problem.loss, problem.features, self.x.dtype, columns)
        self.laid_out = in_columns(self.x) if columns else self.x

    def run(self, w: ArrayLike, steps: int) -> Weights:
        weights = self._start(w)
        rate = torch.tensor(self.learning_rate, dtype=torch.float64, device=self.device)
        for _ in range(steps):
            weights = self.step(weights, self.laid_out, self.y, rate)
        return to_host(weights)
