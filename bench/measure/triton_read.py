"""Read and sum data in a Triton loop, as a baseline for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from backends.torch.onepass import processors

BLOCK, WARPS = 4096, 8
"""Number of float32 values that a program reads at a time, and its number of warps."""

PROGRAMS = 4
"""Number of programs that run at the same time on a multiprocessor."""


@triton.jit  # type: ignore[untyped-decorator]
def _sum(values, sums, blocks, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sum every ``num_programs``-th block; write the sum to this program's place in `sums`."""
    inside = tl.arange(0, BLOCK).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for k in range(tl.program_id(0).to(tl.int64), blocks, tl.num_programs(0)):
        total += tl.load(values + k * BLOCK + inside)
    tl.store(sums + tl.program_id(0), tl.sum(total, axis=0))


def reading(values: torch.Tensor) -> Callable[[], object]:
    """Return a function that reads all complete blocks of a float32 tensor on a device."""
    sums = values.new_empty(PROGRAMS * processors(values.device))

    def read() -> None:
        with torch.cuda.device(values.device):
            blocks = len(values) // BLOCK
            # Triton's default of the last option changes with its version, with a warning.
            _sum[(len(sums),)](
                values, sums, blocks, BLOCK, num_warps=WARPS, enable_fp_fusion=True
            )

    return read
