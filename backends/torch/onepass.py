"""The hand-derived gradient on a GPU: one pass over the rows, in Triton.

PyTorch's products read X twice: first for ``x·w``, then for ``xᵀ·r``. Here a Triton program
keeps a tile of rows in registers and uses it for both, as attention kernels do with their
scores. Each program adds its tiles element by element in the data's dtype and writes one row
of float64 sums; the caller adds these rows.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache

import torch
import triton
import triton.language as tl
from numpy.typing import ArrayLike
from torch import Tensor

from backends.errors import Weights
from backends.torch.autograd import to_host
from backends.torch.graph import Graph

TILE_BYTES, WARPS = 1 << 14, 4
"""Size in bytes of a tile of x in a program's registers, and the number of warps per program.
The program's sums take as many registers as the tile."""

STAGES = 3
"""Number of tiles that a program loads ahead into shared memory."""

PROGRAMS = 2
"""Number of programs per multiprocessor."""

MOST_FEATURES = 8192
"""Largest number of features: a tile of one longer row would not fit in registers."""


@triton.jit  # type: ignore[untyped-decorator]
def _sums(  # type: ignore[no-untyped-def]
    x,
    y,
    w,
    sums,
    rows,
    column_stride,
    FEATURES: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROW_STRIDE: tl.constexpr,
    ROWS: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write ``xᵀ(x·w − y)`` of every ``num_programs``-th tile as this program's row of sums."""
    column = tl.arange(0, COLUMNS)
    w = tl.load(w + column, mask=column < FEATURES, other=0.0).to(x.dtype.element_ty)
    row = tl.arange(0, ROWS).to(tl.int64)
    tile = x + row[:, None] * ROW_STRIDE + column.to(tl.int64)[None, :] * column_stride
    real = (column < FEATURES)[None, :]
    total = tl.zeros((ROWS, COLUMNS), x.dtype.element_ty)
    whole = rows // ROWS
    first = tl.program_id(0).to(tl.int64)
    for k in tl.range(first, whole, tl.num_programs(0), num_stages=STAGES):
        if FEATURES == COLUMNS:  # a mask costs time even if it hides nothing
            values = tl.load(tile + k * ROWS * ROW_STRIDE)
        else:
            values = tl.load(tile + k * ROWS * ROW_STRIDE, mask=real, other=0.0)
        residual = tl.sum(values * w[None, :], axis=1) - tl.load(y + k * ROWS + row)
        total += values * residual[:, None]
    if first == whole % tl.num_programs(0):  # the next program in order adds the remaining rows
        row += whole * ROWS
        tile = x + row[:, None] * ROW_STRIDE + column.to(tl.int64)[None, :] * column_stride
        there = row < rows
        values = tl.load(tile, mask=real & there[:, None], other=0.0)
        residual = tl.sum(values * w[None, :], axis=1) - tl.load(y + row, mask=there, other=0.0)
        total += values * residual[:, None]
    mine = sums + tl.program_id(0) * FEATURES + column
    tl.store(mine, tl.sum(total.to(tl.float64), axis=0), mask=column < FEATURES)


def sums_of(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
    """Return rows of sums, float64 (programs, d), which add up to ``xᵀ(x·w − y)``.

    Parameters
    ----------
    x : Tensor
        (n,) or (n, d), laid out by row or by column; d at most `MOST_FEATURES`.
    y : Tensor
        (n,), of the same dtype.
    w : Tensor
        (d,), float64.
    """
    x = x.reshape(len(y), -1)
    rows, features = x.shape
    columns = triton.next_power_of_2(features)
    tile = max(1, TILE_BYTES // (x.itemsize * columns))
    programs = min(-(-rows // tile), PROGRAMS * processors(x.device))
    sums = w.new_empty((programs, features))
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        _sums[(programs,)](
            *(x, y, w, sums, rows, x.stride(1)),
            FEATURES=features,
            COLUMNS=columns,
            ROW_STRIDE=x.stride(0),
            ROWS=tile,
            STAGES=STAGES,
            num_warps=WARPS,
        )
    return sums


@cache
def processors(device: torch.device) -> int:
    """Return the number of multiprocessors of a GPU; 1 if the kernel is interpreted."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


class OnePass(Graph):
    """The gradient derived by hand, with one pass over X per step, in Triton."""

    def gradient(self, w: ArrayLike) -> Weights:
        with torch.inference_mode():
            return to_host(self._sums(self._start(w)))

    def _step(self) -> None:
        with torch.inference_mode():
            scale = 2 * self.learning_rate / len(self.y)
            self.weights.sub_(self._sums(self.weights), alpha=scale)

    def _sums(self, w: Tensor) -> Tensor:
        return sums_of(self.x, self.y, w).sum(0)
