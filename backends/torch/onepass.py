"""Descend on a GPU with a Triton kernel that reads the rows once per step."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.losses import Loss
from backends.onepass.kernel import WARPS, add_tiles, plan
from backends.torch.autograd import to_host
from backends.torch.graph import Graph


def sums_of(x: Tensor, y: Tensor, w: Tensor, loss: Loss) -> Tensor:
    """Return partial sums of the gradient ``xᵀ·slope(x·w, y)``, in float64.

    The result has the shape (programs, d). A program is an instance of the Triton kernel, and
    computes one partial sum. The caller adds up the partial sums.

    Parameters
    ----------
    x : Tensor
        Shape (n,) or (n, d), stored by row or by column. d is at most
        `backends.onepass.MOST_FEATURES`.
    y : Tensor
        Shape (n,), of the same dtype as x.
    w : Tensor
        Shape (d,), float64.
    loss : Loss
        A loss whose slope can be written for Triton.
    """
    x = x.reshape(len(y), -1)
    rows, features = x.shape
    planned = plan(loss, (rows, features), x.stride(), x.itemsize, processors(x.device))
    sums = w.new_empty((planned.programs, features))
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        add_tiles[(planned.programs,)](
            *(x, y, w, rows, planned.column_units, sums),
            **planned.constants,
            num_warps=WARPS,
            enable_fp_fusion=True,  # Triton's default changes with its version
        )
    return sums


@cache
def processors(device: torch.device) -> int:
    """Return the number of multiprocessors of a GPU.

    Return 1 for the CPU, on which tests run the kernel in Triton's interpreter.
    """
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


class OnePass(Graph):
    """Descent on a GPU with a Triton kernel that reads the rows once per step."""

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode():
            return to_host(self._sums(self._start(w)))

    def _step(self) -> None:
        with torch.inference_mode():
            scale = self.row_loss.scale * self.learning_rate / len(self.y)
            self.weights.sub_(self._sums(self.weights), alpha=scale)

    def _sums(self, w: Tensor) -> Tensor:
        return sums_of(self.x, self.y, w, self.row_loss).sum(0)
