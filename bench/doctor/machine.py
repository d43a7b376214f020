"""Check the processor, memory, disk and GPUs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.doctor.finding import Finding
from bench.host.limits import (
    affinity,
    available_bytes,
    cpu_count,
    cpu_quota,
    memory_bytes,
    throttled_periods,
)
from bench.host.machine import cpu_model, gpus
from bench.host.procfs import ROOT, number, read
from bench.show.text import byte_count

BUSY = 0.25
"""Load per CPU above which other programs disturb timings: 0.25.

The load per CPU is the mean number of running programs in the last minute, divided by the
number of CPUs.
"""

LITTLE_DISK = 10**9
"""Free disk space, in bytes, below which there is too little room for results: 1 GB."""


def processor(root: Path = ROOT) -> Iterator[Finding]:
    """Check the CPUs, their quota and frequency, and the load from other programs.

    `root` is the root of the file system.
    """
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
            f"a control group has stopped its processes {periods} times so far",
            "note",
            "raise the container's CPU limit, or measure with fewer --threads",
        )
    yield _governor(root)
    load = os.getloadavg()[0]
    busy = load > BUSY * may_use
    mend = "end other programs, and wait a minute" if busy else ""
    yield Finding("load", f"{load:.2g} on {may_use} CPUs", "bad" if busy else "good", mend)
    fields = read(root / "proc/stat").partition("\n")[0].split()[1:]
    stolen, total = (int(fields[7]), sum(map(int, fields))) if len(fields) > 7 else (0, 0)
    if stolen > 0.01 * total:
        yield Finding(
            "virtual machine",
            f"other virtual machines have taken {stolen / total:.0%} of its CPU time so far",
            "note",
            "measure with more --passes, or on a machine that nobody else uses",
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
    """Check the memory, the swap space and the huge pages.

    `root` is the root of the file system.
    """
    total, free = memory_bytes(root), available_bytes(root)
    short = free < total / 10
    yield Finding(
        "memory",
        f"{byte_count(free)} of {byte_count(total)} are free",
        "bad" if short else "good",
        "end programs that hold much memory" if short else "",
    )
    swap = [number(root / "proc/meminfo", key) or 0 for key in ("SwapTotal", "SwapFree")]
    if used := swap[0] - swap[1]:
        mend = "swapoff -a && swapon -a (as root), or restart the swapped-out programs"
        yield Finding("swap", f"{byte_count(used)} are swapped out", "note", mend)
    else:
        yield Finding("swap", "nothing is swapped out")
    pages = read(root / "sys/kernel/mm/transparent_hugepage/enabled")
    if "[never]" in pages:
        mend = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (as root)"
        yield Finding("huge pages", "never: steps over large data may be slower", "note", mend)
    elif pages:
        yield Finding("huge pages", pages.partition("[")[2].partition("]")[0])


def disk(store: Path) -> Finding:
    """Check that results can be written to the folder `store`, and that there is space."""
    folder = next(
        parent for parent in (store.absolute(), *store.absolute().parents) if parent.exists()
    )
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Finding("results", f"{folder} is read-only", "bad", "choose another --store")
    if free < LITTLE_DISK:
        return Finding("results", f"{byte_count(free)} free in {folder}", "bad", "make room")
    return Finding("results", f"{byte_count(free)} free in {folder}")


def graphics() -> Iterator[Finding]:
    """List the GPUs, their memory and their drivers."""
    for gpu in gpus():
        size = f", {byte_count(gpu.memory_bytes)}" if gpu.memory_bytes else ""
        yield Finding("GPU", f"{gpu.name}{size}, driver {gpu.driver}")
