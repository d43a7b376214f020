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
    """Check the kernel's sums for several losses.

    One of them is a user's loss that calls every function that a loss may use.
    """
    run("sums", loss, TRITON_INTERPRET="1")


def test_one_pass_adds_up_the_gradient() -> None:
    """Check the sums for squared error, with a tolerance near the precision of the dtype."""
    run("squares", "squared_error", TRITON_INTERPRET="1")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_descent_in_one_pass_per_step(library: str, loss: str) -> None:
    run(library, loss, needs=(library,), TRITON_INTERPRET="1")


@pytest.mark.parametrize("loss", [*LOSSES, OWN])
def test_triton_compiles_the_kernel_for_a_gpu(loss: str) -> None:
    """Check that Triton compiles the kernel for a Hopper GPU, which needs no GPU."""
    run("compile", loss)


def test_jax_calls_the_kernel_on_a_gpu_only() -> None:
    """Check the program that JAX compiles for a GPU.

    Compiling needs JAX's CUDA plugin but no GPU.
    """
    run("lower", "log_loss", needs=("jax_triton", "jax_cuda12_plugin"))
