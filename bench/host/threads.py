"""One number of threads for every library.

Libraries read it from the environment when they load, so it must be set before
NumPy is imported; nothing here imports an array library.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from bench.host.limits import affinity, cpu_count
from bench.host.procfs import ROOT, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)

ASKED = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")
"""Variables by which a user or a batch system asks for fewer threads than CPUs."""

SETTINGS = {
    "MKL_DYNAMIC": "FALSE",  # MKL would choose fewer threads than it was told
    "NUMBA_THREADING_LAYER_PRIORITY": "omp tbb workqueue",  # workqueue: slow, not thread-safe
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # JAX would take most of the GPU's memory
}


PASSIVE = {
    "OMP_WAIT_POLICY": "PASSIVE",  # OpenMP of GCC and LLVM
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",  # OpenMP of Intel and LLVM, milliseconds
}
"""Variables by which idle threads of OpenMP sleep at once, instead of spinning for a while."""


def wait_passively() -> None:
    """Let idle OpenMP threads sleep, where several libraries share one process.

    A variable that is set already stays as it is. Libraries read it when they load.
    """
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)


def environment(threads: int) -> dict[str, str]:
    """Return the variables that bound every library's threads."""
    return dict.fromkeys(COUNTS, str(threads)) | SETTINGS


def asked_for(environment: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the smallest number of threads that a variable asks for, and the variable."""
    found = []
    for name in ASKED:
        first = environment.get(name, "").partition(",")[0].strip()  # OpenMP: one a level
        if first.isdecimal() and int(first) > 0:
            found.append((int(first), name))
    return min(found, default=None)


def _default(cpus: int) -> int:
    """Return the CPUs, or fewer if a variable asks for fewer; then say so on stderr."""
    asked, name = asked_for(os.environ) or (cpus, "")
    if asked >= cpus:
        return cpus
    number = f"{asked} thread{'s' if asked > 1 else ''}"
    sys.stderr.write(
        f"descentbench: {name}={asked}: {number} for every library, although {cpus} CPUs may "
        f"be used (--threads {cpus} uses all)\n"
    )
    return asked


def apply(threads: int | None = None) -> int:
    """Bound the threads of this process and its children; return how many they are.

    JAX heeds no variable but the CPU affinity, which is narrowed to as many
    CPUs: a later call can ask for fewer threads, not for more.

    Parameters
    ----------
    threads : int, optional
        Default: as many as the CPUs that this process may use, or fewer where
        ``OMP_NUM_THREADS`` or ``SLURM_CPUS_PER_TASK`` says so.

    Raises
    ------
    DescentbenchError
        Fewer than one thread, or more than this process may use CPUs.
    """
    cpus = cpu_count()
    if threads is None:
        threads = _default(cpus)
    if not 1 <= threads <= cpus:
        from backends.errors import DescentbenchError  # loads NumPy

        most = f"this process may use {cpus} CPU{'s' if cpus > 1 else ''}"
        reason = most if threads > cpus else "at least 1 is needed"
        raise DescentbenchError(f"--threads {threads}: {reason}")
    variables = environment(threads)
    if "numpy" in sys.modules:  # which no longer looks at the variables
        threadpool_limits(threads)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        del variables["NUMBA_NUM_THREADS"]  # Numba fails if it changes under its threads
    os.environ.update(variables)
    if hasattr(os, "sched_setaffinity") and threads < len(affinity()):
        os.sched_setaffinity(0, spread(affinity())[:threads])
    return threads


def spread(cpus: Iterable[int], root: Path = ROOT) -> list[int]:
    """Order CPUs so that every core's first comes before any core's second."""
    taken: Counter[str] = Counter()
    order = []
    for cpu in sorted(cpus):
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        core = read(topology / "thread_siblings_list") or str(cpu)
        order.append((taken[core], cpu))
        taken[core] += 1
    return [cpu for _, cpu in sorted(order)]
