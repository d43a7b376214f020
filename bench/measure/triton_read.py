"""Read and sum a GPU's data in a Triton loop, to measure how fast the GPU reads."""

from __future__ import annotations

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from backends.torch.onepass import processors

BLOCK, WARPS = 4096, 8
"""Number of float32 values that a Triton program reads at a time, and its number of warps."""

PROGRAMS = 4
"""Number of Triton programs that run at the same time on a multiprocessor of the GPU."""


@triton.jit  # type: ignore[untyped-decorator]
def _sum(values, sums, blocks, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sum every n-th block of the values, where n is the number of Triton programs.

    The Triton program k starts with block k and writes its sum to ``sums[k]``.
    """
    inside = tl.arange(0, BLOCK).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(tl.program_id(0).to(tl.int64), blocks, tl.num_programs(0)):
        total += tl.load(values + k * BLOCK + inside)
    tl.store(sums + tl.program_id(0), tl.sum(total, axis=0))


def reading(values: torch.Tensor) -> Callable[[], object]:
    """Return a function that reads a float32 tensor on a GPU.

    Values after the last complete block of `BLOCK` values are not read.
    """
    sums = values.new_empty(PROGRAMS * processors(values.device))

    def read() -> None:
        with torch.cuda.device(values.device):
            blocks = len(values) // BLOCK
            # Without enable_fp_fusion, some versions of Triton print a warning.
            _sum[(len(sums),)](
                values, sums, blocks, BLOCK, num_warps=WARPS, enable_fp_fusion=True
            )

    return read
