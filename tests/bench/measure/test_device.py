"""The yardstick of a GPU, and the kernel that reads the rows once, without one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time

import pytest

from bench.measure.device import DeviceReader, Way

NBYTES = 1 << 30


def way(seconds: float, at_once: int = 1) -> Way:
    """Return a way to read that takes so long a pass, and reads `at_once` times or more."""

    def read(passes: int) -> int:
        done = -(-passes // at_once) * at_once
        time.sleep(seconds * done)
        return done

    return read


def test_the_fastest_way_is_kept_and_its_own_passes_are_counted() -> None:
    """Sixteen passes at once are sixteen times the bytes, where one was asked for."""
    fast = way(0.001, at_once=48)
    reader = DeviceReader([way(0.004), fast, way(0.006)], NBYTES)
    assert reader.passes == 32
    assert NBYTES / 0.004 < reader.bytes_per_s() <= NBYTES / 0.001


def test_a_library_without_a_read_has_no_yardstick() -> None:
    assert DeviceReader.of("cupy", "cuda:0", NBYTES) is None


def test_another_cpu_device_is_no_gpu() -> None:
    assert DeviceReader.of("jax", "cpu:1", NBYTES) is None


INTERPRETED = """
import numpy as np
import torch

from backends import generate
from backends.torch import onepass
from backends.reference import relative_error

onepass.TILE_BYTES = 1 << 9  # several tiles a program, and some rows left over
onepass.PROGRAMS = 3
for features in (1, 2, 3, 7, 33):
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-13)):
        data = generate(1009, features, dtype)
        x, y = torch.tensor(data.x), torch.tensor(data.y)
        w = np.random.default_rng(1).uniform(-3, 3, features)
        for laid_out in [x] if features == 1 else [x, x.T.contiguous().T]:
            for rows in (1, 5, 1009):
                part, on = laid_out[:rows], np.float64(data.x[:rows]).reshape(rows, -1)
                expected = on.T @ (on @ w - data.y[:rows])
                sums = onepass.sums_of(part, y[:rows], torch.tensor(w)).sum(0)
                error = relative_error(sums.numpy(), expected)
                assert error <= tolerance, (features, dtype, rows, error)
"""


def test_one_pass_adds_up_the_gradient() -> None:
    """Triton's interpreter runs the kernel on the CPU."""
    for library in ("torch", "triton"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install {library}")
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
