"""Checks of the Triton kernel on a machine without a GPU, each in a process of its own.

Most checks run the kernel in Triton's interpreter. Triton reads ``TRITON_INTERPRET`` when it is
imported, so a check is a command:

    TRITON_INTERPRET=1 python -m tests.support.interpreted torch log_loss
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from backends import generate
from backends.losses import LOSSES, Loss
from backends.problem import TOLERANCE
from backends.reference import relative_error
from tests.support import losses as check

FEATURES = (1, 2, 7, 32, 500)


def _own_slope(xp: Any, p: Any, y: Any) -> Any:
    """Return a slope that uses every function allowed in a loss, with small and large values.

    The slope is infinite for a target of 0, which the kernel uses after the last row.
    """
    r = p - y
    bounded = xp.clip(r, -3, 2) + xp.minimum(p, 0.1) * xp.maximum(y, -0.7)
    curved = xp.tanh(1e-4 * r) * 1e4 + xp.log1p(1e-5 * xp.abs(p)) * 1e4 + xp.log(1 + p**2)
    curved = curved + 0.01 * xp.log(xp.abs(y)) + xp.sqrt(xp.abs(r))
    return xp.where((p > 0.3) & ~(y == 0), bounded, 0.1) + curved / (1 + xp.exp(-abs(p)))


OWN = Loss("own-01234567", lambda xp, p, y: p * y, _own_slope)
"""A user's loss, named like a loss from a file. The checks use only its slope."""

LOSS = {**LOSSES, OWN.name: OWN}


def small_tiles() -> None:
    """Use smaller tiles, so that a thousand rows fill several tiles."""
    from backends.onepass import kernel

    kernel.TILE_BYTES, kernel.PROGRAMS = 1 << 12, 3


def check_sums(loss: Loss) -> None:
    """Compare the kernel's sums with float64, for data stored by row and by column."""
    import torch

    from backends.torch import onepass

    for dtype, tolerance in (("float32", 3e-6), ("float64", 1e-13)):
        for features in FEATURES:
            data = generate(1009 if features < 500 else 61, features, dtype)
            w = check.start(features)
            x, y = torch.tensor(data.x), torch.tensor(data.y)
            for laid_out in [x] if features == 1 else [x, x.T.contiguous().T]:
                for rows in (1, 5, data.rows):
                    part, targets = laid_out[:rows], y[:rows]
                    sums = onepass.sums_of(part, targets, torch.tensor(w), loss).sum(0)
                    on = part.reshape(rows, -1).double().numpy()
                    slope = loss.slope(np, on @ w, targets.double().numpy())  # type: ignore[misc]
                    error = np.abs(sums.numpy() - slope @ on).max()
                    size = (np.abs(slope) @ np.abs(on)).max()
                    assert error <= tolerance * size, (features, dtype, rows, error / size)
            unknown = torch.full((features,), torch.nan, dtype=torch.float64)
            assert onepass.sums_of(x, y, unknown, loss).sum(0).isnan().all()


def check_squares(loss: Loss) -> None:
    """Compare the kernel's sums for squared error with float64, with a smaller tolerance."""
    import torch

    from backends.torch import onepass

    for features in (1, 2, 3, 7, 33):
        for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-13)):
            data = generate(1009, features, dtype)
            x, y = torch.tensor(data.x), torch.tensor(data.y)
            w = np.random.default_rng(1).uniform(-3, 3, features)
            for laid_out in [x] if features == 1 else [x, x.T.contiguous().T]:
                for rows in (1, 5, 1009):
                    part, on = laid_out[:rows], np.float64(data.x[:rows]).reshape(rows, -1)
                    expected = on.T @ (on @ w - data.y[:rows])
                    sums = onepass.sums_of(part, y[:rows], torch.tensor(w), loss).sum(0)
                    error = relative_error(sums.numpy(), expected)
                    assert error <= tolerance, (features, dtype, rows, error)


def check_torch(loss: Loss) -> None:
    """Compare PyTorch's descent with float64; plain calls of a step replace its CUDA graph."""
    import torch

    from backends.torch.onepass import OnePass

    class Replayed:
        def __init__(self, step: Callable[[], None], device: object) -> None:
            self.step = step

        def replay(self, steps: int) -> None:
            for _ in range(steps):
                self.step()

    torch.set_num_threads(1)
    from backends.torch import graph

    graph.Recorded = Replayed  # type: ignore[misc,assignment]
    descents(lambda data: OnePass(data, check.RATE, "cpu"), loss)


def check_jax(loss: Loss) -> None:
    """Compare JAX's compiled loop with float64; the loop calls the interpreted kernel."""
    from backends.jax import onepass
    from backends.jax.onepass import OnePass

    onepass.triton_call = lambda: interpreted_call  # type: ignore[assignment]
    descents(lambda data: OnePass(data, check.RATE, "cpu"), loss)


def descents(place: Callable[[Any], Any], loss: Loss) -> None:
    """Check descents of two and three steps, for every dtype and number of features."""
    for dtype in TOLERANCE:
        for features in FEATURES:
            data = check.problem(409 if features < 500 else 61, features, dtype, loss)
            placed = place(data)
            check.check(placed, loss, data, check.start(features), steps=3)
            w = check.start(features)
            once = placed.run(placed.run(w, 1), 1)
            np.testing.assert_array_equal(once, placed.run(w, 2))


def interpreted_call(
    *arguments: Any, kernel: Any, out_type: Any, grid: Any, num_warps: int, **constants: Any
) -> Any:
    """Call a kernel as ``jax_triton.triton_call`` does, in Triton's interpreter."""
    import jax
    import torch

    arrays, scalars = arguments[:3], arguments[3:]

    def call(*arrays: Any) -> np.ndarray:
        tensors = [torch.tensor(np.asarray(array)) for array in arrays]
        out = torch.full(out_type.shape, torch.nan, dtype=torch.float64)
        kernel[grid](*tensors, *scalars, out, num_warps=num_warps, **constants)
        return out.numpy()

    return jax.pure_callback(call, out_type, *arrays)


def check_compiled(loss: Loss) -> None:
    """Compile the kernel for a Hopper GPU, for data stored by row and by column."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from backends.onepass import kernel

    hopper = GPUTarget("cuda", 90, 32)
    for kind, itemsize in (("fp32", 4), ("fp64", 8)):
        for features, strides in ((7, (1, 1 << 20)), (500, (500, 1))):
            planned = kernel.plan(loss, (1 << 20, features), strides, itemsize, 132)
            signature = {
                "x": f"*{kind}",
                "y": f"*{kind}",
                "w": "*fp64",
                "rows": "i64",
                "column_units": "i64",
                "sums": "*fp64",
                **dict.fromkeys(planned.constants, "constexpr"),
            }
            source = ASTSource(kernel.add_tiles, signature, planned.constants)
            options = {"num_warps": kernel.WARPS, "enable_fp_fusion": True}
            made = triton.compile(source, target=hopper, options=options)
            assert made.asm["cubin"]
            # one multiprocessor has 227 kB of shared memory for its programs
            assert made.metadata.shared * kernel.PROGRAMS <= 227 << 10


def check_lowered(loss: Loss) -> None:
    """Compile JAX's descent for a GPU without running it, and count the calls of the kernel.

    There are four calls for four unrolled steps, and one call for a remaining step.
    """
    from jax._src.lib import gpu_triton

    from backends.jax import onepass

    gpu_triton.get_compute_capability = lambda device: 90
    for rows, features in ((1003, 7), (1003, 32)):
        data = check.problem(rows, features, "float32", loss)
        x, y, w = onepass.laid_out(data), data.y, check.start(features)
        loop = onepass.compiled(loss, 132).loop
        traced = loop.trace(w, x, y, 0.1, 100, rows=rows, unrolled=4)
        text = traced.lower(lowering_platforms=("cuda",)).as_text()
        assert text.count("triton_kernel_call") == 5


CHECKS = {
    "sums": check_sums,
    "squares": check_squares,
    "torch": check_torch,
    "jax": check_jax,
    "compile": check_compiled,
    "lower": check_lowered,
}

if __name__ == "__main__":
    if "TRITON_INTERPRET" in os.environ:
        small_tiles()
    CHECKS[sys.argv[1]](LOSS[sys.argv[2]])
