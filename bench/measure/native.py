"""A second yardstick: the same descent in C with OpenMP, compiled on the spot.

It says how fast a plain hand-written kernel is on this machine. It is no
backend: nobody can choose it, and without a compiler it is merely missing.
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
    # What a vectorised sum needs, and no more: NaN and infinity stay what they are.
    *("-ffp-contract=fast", "-fassociative-math", "-freciprocal-math"),
    *("-fno-signed-zeros", "-fno-trapping-math"),
)

COMPILER_SECONDS = 60.0

SERIAL_BYTES = 1 << 18
"""Data below it are faster with one thread: a barrier costs microseconds."""


class NativeError(DescentbenchError):
    """The kernel cannot be built here, and why."""


@cache
def build() -> ctypes.CDLL:
    """Compile the kernel and load it, once a process.

    Raises
    ------
    NativeError
        No compiler, or none that knows OpenMP.
    """
    found = [path for path in map(shutil.which, COMPILERS) if path]
    if not found:
        raise NativeError(f"there is no C compiler here ({', '.join(COMPILERS)})")
    with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
        library = Path(folder) / "native.so"
        complaints = [complaint for path in found if (complaint := _compile(path, library))]
        if len(complaints) == len(found):
            raise NativeError(f"no C compiler here builds it: {complaints[0]}")
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
    """Return the first line of what the compiler has to complain of; nothing if it worked."""
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(library)]
    try:
        done = subprocess.run(  # noqa: S603 the command is ours
            command, capture_output=True, text=True, check=False, timeout=COMPILER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else f"{done.stderr.strip()} ".splitlines()[0]


class Kernel:
    """A problem in C's hands: `run` as a backend's `Descent` has it.

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
        """Take `steps` steps from `w`, all of them in C."""
        result = np.array(w, dtype=np.float64)
        self.descend(
            *(self.x.ctypes.data, self.y.ctypes.data, result.ctypes.data, *self.shape),
            *(self.rate, steps, self.threads, self.scratch.ctypes.data),
        )
        return result
