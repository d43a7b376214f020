"""Checks of this machine: what it offers, and what would distort measurements."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from backends.catalogue import devices, open_backend
from backends.names import Library, Name, libraries
from backends.synthetic import generate
from bench.caches import measured_caches
from bench.host.limits import (
    affinity,
    available_bytes,
    cpu_count,
    cpu_quota,
    memory_bytes,
    throttled_periods,
)
from bench.host.machine import cpu_model, gpus, thread_pools
from bench.host.procfs import ROOT, number, read
from bench.measure.native import COMPILERS
from bench.measure.verify import LEARNING_RATE
from bench.show.text import byte_count

Level = Literal["good", "note", "bad"]

OVERRIDES = (
    *("OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE", "NPY_DISABLE_CPU_FEATURES"),
    *("OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"),
    *("KMP_BLOCKTIME", "NUMBA_DISABLE_JIT", "NUMBA_OPT", "NUMBA_CPU_NAME"),
    *("NUMBA_CPU_FEATURES", "NUMBA_THREADING_LAYER", "NUMBA_BOUNDSCHECK"),
    *("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE", "XLA_FLAGS", "JAX_PLATFORMS"),
    *("JAX_DISABLE_JIT", "JAX_DEBUG_NANS", "CUDA_VISIBLE_DEVICES", "CUDA_LAUNCH_BLOCKING"),
    *("LD_PRELOAD", "PYTHONMALLOC", "PYTHONDEVMODE"),
)
"""Variables that change how fast a library is, or whether it runs at all."""

EXTRAS = {
    "pyarrow": "Parquet files",
    "matplotlib": "plot, and fit --plot",
    "jinja2": "report",
}
"""Optional packages, and what needs them."""

LIBRARY_SECONDS = 120.0
"""Seconds for a library to load and take a step; JAX needs about 5."""

BUSY = 0.25
"""Load, as a share of the CPUs over a minute, above which other programs disturb timings."""

LITTLE_DISK = 10**9
"""Free bytes below which there is too little room for results."""


@dataclass(frozen=True)
class Finding:
    """One finding of ``doctor``.

    Attributes
    ----------
    topic : str
    found : str
    level : {"good", "note", "bad"}
        bad: distorts results now; note: may distort them.
    mend : str
        How to correct it.
    """

    topic: str
    found: str
    level: Level = "good"
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``doctor --json``."""
        return asdict(self)


def examine(store: Path, root: Path = ROOT) -> Iterator[Finding]:
    """Look at the machine, then at every library in a process of its own."""
    yield from processor(root)
    yield from memory(root)
    yield Finding("caches", *measured_caches())
    yield from overrides(os.environ)
    yield disk(store)
    yield compiler()
    yield from graphics()
    for library in libraries().values():
        yield from library_findings(library)
    for module, use in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(module, f"not installed: no {use}", "note", f"pip install {module}")


def processor(root: Path = ROOT) -> Iterator[Finding]:
    """Look at CPUs, quota, frequency, and who else is busy."""
    cpus, may_use = os.cpu_count() or 1, cpu_count(root)
    yield Finding("processor", f"{cpu_model(root)}: {may_use} of {cpus} CPUs may be used")
    if (quota := cpu_quota(root)) < len(affinity()):
        yield Finding(
            "CPU quota",
            f"a control group allows {quota:g} of {len(affinity())} CPUs",
            "note",
            "give the container whole CPUs (a cpuset) rather than a share of their time",
        )
    if periods := throttled_periods(root):
        yield Finding(
            "CPU quota",
            f"{periods} times so far, a control group stopped its processes",
            "note",
            "raise the container's CPU limit, or measure with fewer --threads",
        )
    yield _governor(root)
    load = os.getloadavg()[0]
    busy = load > BUSY * may_use
    mend = "end what else is running, and wait a minute" if busy else ""
    yield Finding("load", f"{load:.2g} on {may_use} CPUs", "bad" if busy else "good", mend)
    fields = read(root / "proc/stat").partition("\n")[0].split()[1:]
    stolen, total = (int(fields[7]), sum(map(int, fields))) if len(fields) > 7 else (0, 0)
    if stolen > 0.01 * total:
        yield Finding(
            "virtual machine",
            f"{stolen / total:.0%} of its time so far went to its neighbours",
            "note",
            "take more passes, or a machine of its own",
        )


def _governor(root: Path) -> Finding:
    paths = root.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
    found = sorted({read(path) for path in paths} - {""})
    if not found:
        return Finding(
            "frequency", "the governor is not shown here, as in most virtual machines"
        )
    if found == ["performance"]:
        return Finding("frequency", "governor performance")
    return Finding(
        "frequency",
        f"governor {', '.join(found)}",
        "bad",
        "cpupower frequency-set -g performance (as root)",
    )


def memory(root: Path = ROOT) -> Iterator[Finding]:
    """Look at memory, swap and huge pages."""
    total, free = memory_bytes(root), available_bytes(root)
    short = free < total / 10
    yield Finding(
        "memory",
        f"{byte_count(free)} of {byte_count(total)} are free",
        "bad" if short else "good",
        "end what else holds memory" if short else "",
    )
    swap = [number(root / "proc/meminfo", key) or 0 for key in ("SwapTotal", "SwapFree")]
    if used := swap[0] - swap[1]:
        mend = "swapoff -a && swapon -a (as root), or restart what was swapped out"
        yield Finding("swap", f"{byte_count(used)} are swapped out", "note", mend)
    else:
        yield Finding("swap", "nothing is swapped out")
    pages = read(root / "sys/kernel/mm/transparent_hugepage/enabled")
    if "[never]" in pages:
        mend = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)"
        yield Finding("huge pages", "never: large data cost more to address", "note", mend)
    elif pages:
        yield Finding("huge pages", pages.partition("[")[2].partition("]")[0])


def overrides(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Name variables that change how libraries behave here, unlike elsewhere."""
    for name in OVERRIDES:
        if name in environment:
            found = f"{name}={environment[name]}"
            yield Finding("environment", found, "note", f"unset {name}, unless you mean it")


def disk(store: Path) -> Finding:
    """Look for room for results."""
    folder = next(
        parent for parent in (store.absolute(), *store.absolute().parents) if parent.exists()
    )
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Finding("results", f"{folder} is read-only", "bad", "choose another --store")
    if free < LITTLE_DISK:
        return Finding("results", f"{byte_count(free)} free in {folder}", "bad", "make room")
    return Finding("results", f"{byte_count(free)} free for them")


def compiler() -> Finding:
    """Look for the C++ compiler that torch:compile and the C baseline need."""
    found = [name for name in (*COMPILERS, "c++", "g++", "clang++") if shutil.which(name)]
    if any("+" in name for name in found):
        return Finding("compiler", ", ".join(found))
    uses = "torch:compile on the CPU and run --limit"
    missing = f"no C++ compiler, which {uses} need"
    return Finding("compiler", missing, "note", "apt-get install g++, or your system's")


def graphics() -> Iterator[Finding]:
    """Look at GPUs and their memory."""
    for gpu in gpus():
        size = f", {byte_count(gpu.memory_bytes)}" if gpu.memory_bytes else ""
        yield Finding("GPU", f"{gpu.name}{size}, driver {gpu.driver}")


def library_findings(library: Library) -> Iterator[Finding]:
    """Look at a library as a measurement's process sees it."""
    done = _told(library, os.environ)
    if isinstance(done, dict):
        yield from judge(library, done)
    elif f"not installed: {library.install}" in done:
        yield Finding(library.name, "not installed", "note", library.install)
    elif cause := _cause(library):
        setting = f"{cause}={os.environ[cause]}"
        mend = f"unset {cause}, or give it a value that fits this machine"
        yield Finding(library.name, f"does not run with {setting}: {done}", "bad", mend)
    else:
        yield Finding(library.name, done, "bad", library.install)


def _cause(library: Library) -> str:
    """Return the variable without which the library runs; nothing if there is none."""
    for name in (name for name in OVERRIDES if name in os.environ):
        without = {key: value for key, value in os.environ.items() if key != name}
        if isinstance(_told(library, without), dict):
            return name
    return ""


def _told(library: Library, environment: Mapping[str, str]) -> dict[str, Any] | str:
    """Return what `tell` tells in a process of its own, or a line that says why it cannot."""
    code = f"from bench.doctor import tell; tell({library.name!r})"
    try:
        done = subprocess.run(  # noqa: S603 (the code is ours)
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[1],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LIBRARY_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"did not take a step in {LIBRARY_SECONDS:g} s"
    if done.returncode == 0:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told
    return _reason(done.stderr, done.returncode)


def _reason(output: str, status: int) -> str:
    """Return the line of a failed process that says why it failed."""
    if status < 0:  # what it printed is a stack of calls, after its first line
        ended = f"its process was ended by {signal.Signals(-status).name}"
        first = next(filter(None, map(str.strip, output.splitlines())), "")
        return f"{ended} ({first})" if first else ended
    lines = output.strip().splitlines()
    return lines[-1].strip() if lines else f"its process ended with exit code {status}"


def judge(library: Library, told: Mapping[str, Any]) -> Iterator[Finding]:
    """Describe what `tell` printed, and name what is wrong."""
    yield Finding(library.name, f"{told['version']} on {', '.join(told['devices'])}")
    pools = {pool["user_api"]: pool for pool in told["pools"]}
    if layer := pools.get("numba"):
        slow = layer["internal_api"] == "workqueue"
        yield Finding(
            f"{library.name}'s threads",
            f"{layer['num_threads']} of {layer['internal_api']}"
            + (", which is slow and not thread-safe" if slow else ""),
            "bad" if slow else "good",
            "apt-get install libgomp1, or pip install tbb" if slow else "",
        )
    if library.name != "numpy":
        return  # what others load beside it is NumPy's, too
    if blas := pools.get("blas"):
        core = f" for {blas['architecture']}" if blas.get("architecture") else ""
        found = f"{blas['internal_api']}{core}, {blas['num_threads']} threads"
        yield Finding("numpy's BLAS", found)
    else:
        mend = "install NumPy from PyPI or conda-forge, which bring OpenBLAS"
        yield Finding("numpy's BLAS", "none that is known: products may be slow", "bad", mend)


def tell(name: str) -> None:
    """Print a library's version, devices and thread pools as JSON, after a step of it."""
    from bench.host.threads import apply

    apply()
    try:
        told = _step_and_look(libraries()[name])
    except Exception as error:
        sys.exit(next(iter(str(error).strip().splitlines()), type(error).__name__))
    print(json.dumps(told))  # noqa: T201


def _step_and_look(library: Library) -> dict[str, Any]:
    """Take a step with a library, and return its version, devices and thread pools."""
    usable = [device for device, why in devices(library).items() if not why]
    technique = "parallel" if "parallel" in library.techniques else ""
    problem = generate(1_000_000)  # fewer rows would be left to one thread
    open_backend(Name(library.name, technique)).place(problem, LEARNING_RATE).run([0.0], 1)
    version = str(getattr(sys.modules[library.imports], "__version__", ""))
    return {"version": version, "devices": usable, "pools": thread_pools()}
