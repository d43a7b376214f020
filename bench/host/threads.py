"""Set the same number of threads for every library.

Libraries read the number from environment variables when they are imported. The variables must
therefore be set before NumPy is imported, and this module imports no array library.
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
"""Environment variables from which libraries read their number of threads."""

ASKED = ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK")
"""Environment variables with which a user or a batch system asks for fewer threads."""

SETTINGS = {
    "MKL_DYNAMIC": "FALSE",  # with TRUE, MKL may use fewer threads than it was given
    "NUMBA_THREADING_LAYER_PRIORITY": "omp tbb workqueue",  # workqueue: slow, not thread-safe
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # with true, JAX takes most of a GPU's memory
}
"""Environment variables whose values do not depend on the number of threads."""


def environment(threads: int) -> dict[str, str]:
    """Return the environment variables that limit each library to `threads` threads."""
    return dict.fromkeys(COUNTS, str(threads)) | SETTINGS


def asked_for(environment: Mapping[str, str]) -> tuple[int, str] | None:
    """Return the smallest number of threads that is set in the variables of `ASKED`.

    The result is the pair (number of threads, name of the variable), or None if no number is
    set.
    """
    found = []
    for name in ASKED:
        # A list such as "4,2" gives a number for each level of nested OpenMP regions.
        first = environment.get(name, "").partition(",")[0].strip()
        if first.isdecimal() and int(first) > 0:
            found.append((int(first), name))
    return min(found, default=None)


def _default(cpus: int) -> int:
    """Return `cpus`, or a smaller number of threads that an environment variable asks for.

    A smaller number is reported on stderr.
    """
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
    """Limit each library's threads in this process and its children; return the limit.

    The function sets environment variables. JAX ignores these variables and starts a thread for
    each CPU that the process may use, so the function also limits the process to `threads`
    CPUs. A later call can lower the limit, but not raise it.

    Parameters
    ----------
    threads : int, optional
        The default is the smallest of three numbers: the CPUs that this process may use, and
        the environment variables ``OMP_NUM_THREADS`` and ``SLURM_CPUS_PER_TASK``. A variable
        that is not set is ignored.

    Raises
    ------
    DescentbenchError
        The number is below one, or above the number of CPUs that this process may use.
    """
    cpus = cpu_count()
    if threads is None:
        threads = _default(cpus)
    if not 1 <= threads <= cpus:
        from backends.errors import DescentbenchError  # imports NumPy

        most = f"this process may use {cpus} CPU{'s' if cpus > 1 else ''}"
        reason = most if threads > cpus else "at least 1 is needed"
        raise DescentbenchError(f"--threads {threads}: {reason}")
    variables = environment(threads)
    if "numpy" in sys.modules:  # NumPy reads the variables only at its import
        threadpool_limits(threads)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        del variables["NUMBA_NUM_THREADS"]  # Numba fails if the number changes
    os.environ.update(variables)
    if hasattr(os, "sched_setaffinity") and threads < len(affinity()):
        os.sched_setaffinity(0, spread(affinity())[:threads])
    return threads


def spread(cpus: Iterable[int], root: Path = ROOT) -> list[int]:
    """Order logical CPUs: the first CPU of each core, then the second CPU of each core."""
    taken: Counter[str] = Counter()
    order = []
    for cpu in sorted(cpus):
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        core = read(topology / "thread_siblings_list") or str(cpu)
        order.append((taken[core], cpu))
        taken[core] += 1
    return [cpu for _, cpu in sorted(order)]
