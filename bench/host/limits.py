"""Find how many CPUs and how much memory this process may use, for example in a container.

The kernel's control groups set limits for a container. `os.cpu_count` and the size of the
machine's memory ignore these limits. The kernel slows a process down if the process exceeds the
CPU limit, and kills the process if it exceeds the memory limit.
"""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bench.host.procfs import ROOT, number, read

if TYPE_CHECKING:
    from collections.abc import Iterator


def cpu_count(root: Path = ROOT) -> int:
    """Return how many CPUs this process can use: the smaller of CPU affinity and quota."""
    return int(min(len(affinity()), cpu_quota(root)))


def affinity() -> set[int]:
    """Return the numbers of the CPUs on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def cpu_quota(root: Path = ROOT) -> float:
    """Return how many CPUs the control groups allow, rounded up; infinity without a limit."""
    tightest = math.inf
    for group in _groups("cpu", root):
        v1 = (read(group / "cpu.cfs_quota_us"), read(group / "cpu.cfs_period_us"))
        quota, period = read(group / "cpu.max").split() or v1
        if quota.isdigit():  # no quota: "max", -1, or no file
            tightest = min(tightest, math.ceil(int(quota) / int(period)))
    return tightest


def throttled_periods(root: Path = ROOT) -> int:
    """Return how often a CPU limit has paused this process's control group; 0 if unknown."""
    counts = [number(group / "cpu.stat", "nr_throttled") for group in _groups("cpu", root)]
    return max(filter(None, counts), default=0)


def memory_bytes(root: Path = ROOT) -> int:
    """Return the machine's memory in bytes, or the control groups' limit if it is lower."""
    return min([_physical_bytes(), *(limit for _, limit in _memory_limits(root))])


def available_bytes(root: Path = ROOT) -> int:
    """Return how many bytes of free memory this process may use.

    If the system does not report its free memory, all memory of the machine counts as free.
    """
    free = [limit - _used_bytes(group) for group, limit in _memory_limits(root)]
    machine = number(root / "proc/meminfo", "MemAvailable")
    return max(0, min([_physical_bytes() if machine is None else machine, *free]))


def out_of_memory_kills(root: Path = ROOT) -> int:
    """Return how many processes were killed for lack of memory since boot; 0 if unknown."""
    return number(root / "proc/vmstat", "oom_kill") or 0


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _memory_limits(root: Path) -> Iterator[tuple[Path, int]]:
    for group in _groups("memory", root):
        limit = read(group / "memory.max") or read(group / "memory.limit_in_bytes")
        if limit.isdigit():  # no limit: "max", or no file
            yield group, int(limit)


def _used_bytes(group: Path) -> int:
    """Return a control group's memory in bytes, without file cache that the kernel can free."""
    used = read(group / "memory.current") or read(group / "memory.usage_in_bytes")
    # In version 1 of control groups, only the "total_" number includes subgroups, like `used`.
    cache = number(group / "memory.stat", "total_inactive_file")
    if cache is None:
        cache = number(group / "memory.stat", "inactive_file")
    return int(used or 0) - (cache or 0)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups, from the innermost to the root.

    `controller` is ``cpu`` or ``memory``. Inside a container, some folders do not exist.
    """
    mounts = root / "sys/fs/cgroup"
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2, alone or beside version 1
            hierarchies = [mounts, mounts / "unified"]
        elif controller in controllers.split(","):
            hierarchies = [mounts / controller]
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for hierarchy in hierarchies:
            yield from (hierarchy / part for part in (inner, *inner.parents))
