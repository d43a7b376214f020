"""Describe the machine: processor, memory, GPUs, versions of packages, threads."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from threadpoolctl import threadpool_info

from bench.host.limits import memory_bytes
from bench.host.procfs import ROOT, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIBRARIES = ("numpy", "numba", "torch", "jax")
"""Libraries with which the backends compute, by their names for ``pip install``."""

PACKAGES = (*LIBRARIES, "jaxlib", "scipy", "pytest-benchmark")
"""Packages whose versions a result file contains, by their names for ``pip install``."""

USUAL_CACHE_BYTES = 32 << 20
"""Assumed size in bytes of the largest cache if the system reports no cache: 32 MiB."""

NVIDIA_SMI_SECONDS = 20.0
"""Time limit in seconds for nvidia-smi. The first call can be slow: it loads the driver."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver describes it; `memory_bytes` is None if unknown."""

    name: str
    memory_bytes: int | None
    driver: str


@dataclass(frozen=True)
class Machine:
    """Description of a machine, for a result file.

    Attributes
    ----------
    cpu : str
        Model name.
    cpus : int
        Number of the machine's logical CPUs, including those that the run does not use.
    memory_bytes : int
        Memory in bytes that this process may use.
    caches : dict
        The first CPU's cache sizes in bytes by cache level, such as ``{"L1": 32768}``. Caches
        that hold only instructions are left out.
    os, python : str
        Versions of the operating system and of Python.
    gpus : list of Gpu
        All GPUs that the driver lists.
    versions : dict
        Versions of the installed packages of `PACKAGES`, by package name.
    threads : int
        Number of threads that each library was allowed to use when its backends were timed.
    """

    cpu: str
    cpus: int
    memory_bytes: int
    caches: dict[str, int]
    os: str
    python: str
    gpus: list[Gpu]
    versions: dict[str, str]
    threads: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def describe(threads: int) -> Machine:
    """Describe this machine, on which each library may use `threads` threads."""
    return Machine(
        cpu=cpu_model(),
        cpus=os.cpu_count() or 1,
        memory_bytes=memory_bytes(),
        caches=caches(),
        os=platform.platform(),
        python=platform.python_version(),
        gpus=gpus(),
        versions=versions(),
        threads=threads,
    )


def identity(machine: Mapping[str, Any]) -> str:
    """Return a hash of the machine; machines with equal hashes give comparable results.

    The hash does not depend on the versions of packages and GPU drivers, so that results with
    different versions can be compared. The hash depends on the sizes of the caches, because
    virtual machines can report the same name for different processors.
    """
    gpus = [(gpu["name"], gpu["memory_bytes"]) for gpu in machine["gpus"]]
    caches = sorted(machine["caches"].items())
    shared = [machine["cpu"], caches, machine["cpus"], machine["threads"], gpus]
    return hashlib.sha256(json.dumps(shared).encode()).hexdigest()[:12]


def cpu_model(root: Path = ROOT) -> str:
    """Return the processor's name, or its architecture if the name is unknown."""
    found = re.search(r"^model name\s*: (.+)$", read(root / "proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def last_cache_bytes(machine: Mapping[str, Any]) -> int:
    """Return the size in bytes of the machine's largest cache, the last-level cache.

    The result is `USUAL_CACHE_BYTES` if no size is known.
    """
    largest = max(machine["caches"].values(), default=0)
    return int(largest) if largest > 0 else USUAL_CACHE_BYTES


def caches(root: Path = ROOT) -> dict[str, int]:
    """Return the first CPU's cache sizes in bytes by cache level, such as ``{"L1": 32768}``.

    Caches that hold only instructions are left out.
    """
    found = {}
    for cache in sorted(root.glob("sys/devices/system/cpu/cpu0/cache/index*")):
        kilobytes = read(cache / "size").removesuffix("K")
        if read(cache / "type") in ("Data", "Unified") and kilobytes.isdigit():
            found[f"L{read(cache / 'level')}"] = int(kilobytes) * 1024
    return found


def gpus() -> list[Gpu]:
    """Return the GPUs that nvidia-smi lists; empty if nvidia-smi is missing or fails."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(  # noqa: S603 (fixed arguments)
            [program, *query],
            capture_output=True,
            text=True,
            check=True,
            timeout=NVIDIA_SMI_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [_gpu(line) for line in answer.stdout.splitlines() if line.count(",") >= 2]


def _gpu(line: str) -> Gpu:
    name, mebibytes, driver = (field.strip() for field in line.rsplit(",", 2))
    return Gpu(name, int(mebibytes) << 20 if mebibytes.isdigit() else None, driver)


def versions() -> dict[str, str]:
    """Return the versions of the installed packages of `PACKAGES`, by package name."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def thread_pools() -> list[dict[str, Any]]:
    """Return one dict for each thread pool that libraries in this process have started."""
    # A library's path on this disk is left out: users share results.
    pools = [{k: v for k, v in pool.items() if k != "filepath"} for pool in threadpool_info()]
    numba = sys.modules.get("numba")
    if numba is not None:
        try:
            layer = numba.threading_layer()
        except ValueError:  # no parallel code has run yet
            return pools
        threads = numba.get_num_threads()
        pools.append({"user_api": "numba", "internal_api": layer, "num_threads": threads})
    return pools
