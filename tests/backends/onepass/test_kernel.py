"""Test the Triton kernel without a GPU: its sums in the interpreter, and its compiled code."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from backends.losses import LOSSES

PROGRAM = "tests.support.interpreted"

OWN = "own-01234567"


def run(*arguments: str, needs: tuple[str, ...] = (), **variables: str) -> None:
    for library in ("torch", "triton", *needs):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install {library}")
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("loss", [*LOSSES, OWN])
def test_sums_of_every_slope(loss: str) -> None:
    """Test several losses; one of them is a user's loss that calls every allowed function."""
    run("sums", loss, TRITON_INTERPRET="1")


def test_one_pass_adds_up_the_gradient() -> None:
    """Check the sums for squared error, whose errors are smaller than those of other losses."""
    run("squares", "squared_error", TRITON_INTERPRET="1")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_descent_in_one_pass_per_step(library: str, loss: str) -> None:
    run(library, loss, needs=(library,), TRITON_INTERPRET="1")


@pytest.mark.parametrize("loss", [*LOSSES, OWN])
def test_triton_compiles_the_kernel_for_a_gpu(loss: str) -> None:
    """Compiling the kernel for a Hopper GPU needs Triton but no GPU."""
    run("compile", loss)


def test_jax_calls_the_kernel_on_a_gpu_only() -> None:
    """JAX can compile for a GPU on any machine that has JAX's CUDA plugin."""
    run("lower", "log_loss", needs=("jax_triton", "jax_cuda12_plugin"))
