"""Generate synthetic data once for all child processes that measure with these data.

The parent process writes the data to files in shared memory. It also writes the sums XᵀX and
Xᵀy, from which a child process computes the correct w for squared error. A child copies the
files into its own memory, so that all backends read ordinary memory of their process. Copying
takes a tenth of the time of generating. If the files are missing, the child generates the data.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np

from backends.errors import Weights
from backends.names import Name
from backends.problem import Problem
from backends.reference import Reference
from backends.rows.made import Generated
from bench.host.limits import available_bytes
from bench.measure.known_losses import named
from bench.results.case import BASELINES, SQUARED, Case

VARIABLE = "DESCENTBENCH_SHARED"
"""Name of the environment variable that holds the path of the folder with shared data."""

MEMORY = Path("/dev/shm")  # noqa: S108 a file system in memory, made for this purpose
"""File system for the folder with shared data. The file system lies in memory, because writing
to a disk would disturb the measurements."""

LEAST_BYTES = 1 << 23
"""Smallest size of shared data in bytes: 8 MiB.

Smaller data need not be shared, because a child process generates them in less than 30 ms.
"""

MOST_OF_MEMORY = 0.25
"""Largest size of all shared data together, as a fraction of the available memory."""

PREFIX = "descentbench-"
"""Beginning of the name of a folder with shared data; the process id follows."""

Data = tuple[int, int, str, str]
"""Rows, features, dtype and loss."""


class Shared:
    """A folder for data in shared memory, which the process removes at its exit.

    If the process is killed, the folder remains until another process creates a `Shared`.
    """

    def __init__(self, memory: Path = MEMORY) -> None:
        self.folder: Path | None = None
        self._lock, self._sizes = Lock(), dict[Data, int]()
        try:
            remove_stale(memory)
            name = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=memory)
        except OSError:  # the file system is missing or full
            return
        self.folder = Path(name)
        atexit.register(self.close)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variable that gives a child process the folder's path."""
        return {VARIABLE: str(self.folder)} if self.folder else {}

    def provide(self, cases: Iterable[Case]) -> None:
        """Generate the data of these cases in the folder, and remove old data to make room.

        Data below `LEAST_BYTES`, and data that do not fit in memory, are not generated.
        """
        with self._lock:
            for data in dict.fromkeys(case.data for case in cases if _in_memory(case)):
                if self.folder is not None and data not in self._sizes:
                    self._make(self.folder, data)

    def _make(self, folder: Path, data: Data) -> None:
        nbytes = Case("numpy", *data).bytes_per_step
        allowed = MOST_OF_MEMORY * (available_bytes() + sum(self._sizes.values()))
        allowed = min(allowed, shutil.disk_usage(folder).free + sum(self._sizes.values()))
        if not LEAST_BYTES <= nbytes <= allowed:
            return
        while sum(self._sizes.values()) + nbytes > allowed:  # remove the oldest data first
            oldest = next(iter(self._sizes))
            shutil.rmtree(place(folder, oldest), ignore_errors=True)
            del self._sizes[oldest]
        unfinished = folder / "unfinished"
        try:
            write(unfinished, data)
            unfinished.rename(place(folder, data))
        except OSError:  # no memory is left: the children generate their data
            shutil.rmtree(unfinished, ignore_errors=True)
            return
        self._sizes[data] = nbytes

    def close(self) -> None:
        """Remove the folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder = None


@cache
def of_this_process() -> Shared:
    """Return the folder for data that this process shares with its child processes.

    The first call creates the folder.
    """
    return Shared()


def _in_memory(case: Case) -> bool:
    """Return whether a child process that measures `case` holds X and y itself.

    For a distributed backend, worker processes hold X and y instead.
    """
    return case.backend in BASELINES or not Name.parse(case.backend).distributed


def remove_stale(memory: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in memory.glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not _alive(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # the process belongs to another user
        return True
    return True


def place(folder: Path, data: Data) -> Path:
    """Return the path at which the shared folder `folder` stores the data `data`."""
    rows, features, dtype, loss = data
    targets = "" if loss == SQUARED else f"-{loss}"
    return folder / f"{rows}x{features}-{dtype}{targets}"


def write(folder: Path, data: Data) -> None:
    """Generate X and y, and write them to files in a new folder.

    The sums XᵀX and Xᵀy, which the check of w needs, are also written to this folder.
    """
    rows, features, dtype, loss = data
    folder.mkdir()
    shape = (rows,) if features == 1 else (rows, features)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", dtype, shape)
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", dtype, (rows,))
    for file in (folder / "x.npy", folder / "y.npy"):
        with file.open("r+b") as opened:  # reserves memory, or raises an OSError
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    first = 0
    for parts, targets in Generated(rows, features, dtype, loss=named(loss)).pieces(0, rows):
        stop = first + len(targets)
        x[first:stop] = parts[0].reshape(-1, *shape[1:])
        y[first:stop] = targets
        first = stop
    reference = Reference.of(x, y)
    np.savez(folder / "reference.npz", gram=reference.gram, moment=reference.moment)


def load(data: Data, *, copy: bool = True) -> Problem | None:
    """Return the data from the shared folder; None if the data are not in the folder.

    Parameters
    ----------
    data : tuple
        Rows, features, dtype and loss.
    copy : bool
        Whether to copy the data into memory of this process. If False, the arrays of the result
        are the files in the shared folder, mapped into this process.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    folder = place(Path(name), data)
    try:
        mode: Literal["c"] | None = None if copy else "c"
        x, y = (np.asarray(np.load(folder / name, mode)) for name in ("x.npy", "y.npy"))
        with np.load(folder / "reference.npz") as sums:
            reference = Reference(sums["gram"], sums["moment"], lambda: [(x, y)], len(y))
    except OSError:  # too small to be shared, or removed again
        return None
    source = Generated(*data[:3]).source
    problem = Problem(x, y, source, known_finite=True, loss=named(data[3]))
    vars(problem)["reference"] = reference  # the cache of `cached_property`
    return problem


def kept(key: tuple[object, ...], make: Callable[[], Weights]) -> Weights:
    """Return the w that a process of this run stored for `key`, or compute w with `make`.

    ``key[0]`` is a text that describes where the rows come from. A w that `make` computed is
    stored only if the rows are synthetic.
    """
    name = os.environ.get(VARIABLE)
    if not name or not str(key[0]).startswith("synthetic"):
        return make()
    digest = hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    path = Path(name) / f"w-{digest}.npy"
    try:
        return np.asarray(np.load(path))
    except (OSError, ValueError):
        w = make()
    unfinished = path.with_suffix(f".{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            np.save(file, w)
        unfinished.replace(path)
    except OSError:  # the folder is full or gone
        unfinished.unlink(missing_ok=True)
    return w
