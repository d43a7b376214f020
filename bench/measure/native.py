"""Run the descent in C with OpenMP, as a baseline for the speed of the backends.

This baseline shows the speed of a plain hand-written kernel on this machine. The kernel is
compiled at its first use. The baseline is left out if no C compiler is installed.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import DescentbenchError, Weights
from backends.problem import DTYPES, Problem

SOURCE = Path(__file__).with_name("native.c")

COMPILERS = ("cc", "gcc", "clang")

FLAGS = (
    *("-O3", "-march=native", "-funroll-loops", "-fopenmp", "-shared", "-fPIC"),
    # A vectorised sum needs these options. They leave NaN and infinity as they are.
    *("-ffp-contract=fast", "-fassociative-math", "-freciprocal-math"),
    *("-fno-signed-zeros", "-fno-trapping-math"),
)

COMPILER_SECONDS = 60.0
"""Time limit in seconds for compiling with one of the `COMPILERS`."""

SERIAL_BYTES = 1 << 18
"""Data size in bytes below which the kernel uses one thread: 256 KiB. For such small data,
synchronising several threads costs more time than the threads save."""


class NativeError(DescentbenchError):
    """The kernel cannot be built on this machine."""


@cache
def build() -> ctypes.CDLL:
    """Compile and load the kernel; later calls return the loaded library.

    Raises
    ------
    NativeError
        No compiler is installed, or no compiler supports OpenMP.
    """
    found = [path for path in map(shutil.which, COMPILERS) if path]
    if not found:
        raise NativeError(f"there is no C compiler here ({', '.join(COMPILERS)})")
    with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
        library = Path(folder) / "native.so"
        complaints = [complaint for path in found if (complaint := _compile(path, library))]
        if len(complaints) == len(found):
            raise NativeError(f"no C compiler here builds the kernel: {complaints[0]}")
        kernel = ctypes.CDLL(str(library))
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    for dtype in DTYPES:
        descend = getattr(kernel, f"descend_{dtype}")
        descend.restype = None
        descend.argtypes = (
            *(pointer, pointer, pointer, count, count),
            *(ctypes.c_double, count, ctypes.c_int, pointer),
        )
    return kernel


def _compile(compiler: str, library: Path) -> str:
    """Compile the kernel; return the first line of the errors, or "" if there are none."""
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(library)]
    try:
        done = subprocess.run(  # noqa: S603 a command of this program
            command, capture_output=True, text=True, check=False, timeout=COMPILER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else f"{done.stderr.strip()} ".splitlines()[0]


class Kernel:
    """Computes a descent in compiled C, with the same method `run` as a backend's `Descent`.

    Raises
    ------
    NativeError
        See `build`.
    """

    def __init__(self, problem: Problem, learning_rate: float, threads: int) -> None:
        self.descend = getattr(build(), f"descend_{problem.dtype}")
        self.x, self.y = np.ascontiguousarray(problem.x), np.ascontiguousarray(problem.y)
        self.shape = problem.rows, problem.features
        self.rate = 2 * learning_rate / problem.rows
        self.threads = 1 if problem.bytes_per_step < SERIAL_BYTES else threads
        self.scratch = np.empty(self.threads * 5 * (problem.features + 8))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        """Take `steps` steps from `w` in C; return the new w."""
        result = np.array(w, dtype=np.float64)
        self.descend(
            *(self.x.ctypes.data, self.y.ctypes.data, result.ctypes.data, *self.shape),
            *(self.rate, steps, self.threads, self.scratch.ctypes.data),
        )
        return result
