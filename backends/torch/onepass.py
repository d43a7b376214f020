"""The hand-derived gradient on a GPU, by a Triton kernel that reads the rows once per step."""

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
    """Return float64 sums, (programs, d), whose rows add up to ``xᵀ·slope(x·w, y)``.

    Parameters
    ----------
    x : Tensor
        (n,) or (n, d), laid out by row or by column; d at most `onepass.MOST_FEATURES`.
    y : Tensor
        (n,), of the same dtype.
    w : Tensor
        (d,), float64.
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
    """Return the number of multiprocessors of a GPU; 1 if the kernel is interpreted."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


class OnePass(Graph):
    """The gradient derived by hand, in Triton, with one pass over X per step."""

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode():
            return to_host(self._sums(self._start(w)))

    def _step(self) -> None:
        with torch.inference_mode():
            scale = self.row_loss.scale * self.learning_rate / len(self.y)
            self.weights.sub_(self._sums(self.weights), alpha=scale)

    def _sums(self, w: Tensor) -> Tensor:
        return sums_of(self.x, self.y, w, self.row_loss).sum(0)
