"""Measure the peak memory of this process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import sys
from typing import TYPE_CHECKING

import numpy as np

from bench.host.limits import available_bytes
from bench.host.procfs import ROOT, number

if TYPE_CHECKING:
    from pathlib import Path

M_MMAP_THRESHOLD = -3
"""Number of a parameter of glibc's ``mallopt``, from ``malloc.h``. The parameter is a size in
bytes: larger blocks get their own memory map."""

BLOCK_BYTES = 1 << 16
"""Size in bytes: 64 KiB. After `keep_no_blocks`, glibc keeps no freed blocks of this size or
more."""


def reset_peak(root: Path = ROOT) -> bool:
    """Reset the kernel's record of this process's peak memory; return whether this worked."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def settle(root: Path = ROOT) -> int | None:
    """Give freed memory back to the system, and reset the kernel's record of the peak memory.

    The result is the resident memory in bytes. The result is None if the record of the
    peak cannot be reset, because later peaks then cannot be measured.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has this function
        ctypes.CDLL(None).malloc_trim(0)
    return rss_bytes(root) if reset_peak(root) else None


def keep_no_blocks() -> None:
    """Make glibc give freed blocks of `BLOCK_BYTES` or more back to the system immediately.

    By default, glibc can keep freed blocks of up to 32 MB, which the peak memory then includes.
    Call this function after all timings, because new blocks become slower.
    """
    with contextlib.suppress(OSError, AttributeError):  # only glibc has this function
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def provide(nbytes: int, root: Path = ROOT) -> bool:
    """Touch and release memory, so that a virtual machine gets this memory from its host.

    When a virtual machine touches a page for the first time, its host must provide the page,
    which is slow. Without this function, the backend that is measured first would be slower
    than the other backends.

    Parameters
    ----------
    nbytes : int
        Size of the memory in bytes. At most half of the available memory is touched.

    Returns
    -------
    bool
        False if no memory was touched, or the kernel's record of the peak memory was not reset.
    """
    nbytes = min(nbytes, available_bytes() // 2)
    if nbytes < mmap.PAGESIZE or not reset_peak(root):
        return False
    with mmap.mmap(-1, nbytes) as pages:  # malloc would change its thresholds
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # some kernels have no large pages
                pages.madvise(mmap.MADV_HUGEPAGE)
        view = np.frombuffer(pages, np.uint8)
        view[:: mmap.PAGESIZE] = 1
        del view
    return reset_peak(root)


def rss_bytes(root: Path = ROOT) -> int:
    """Return the current resident memory in bytes; 0 if it is unknown."""
    return number(root / "proc/self/status", "VmRSS") or 0


def workers_peak_bytes(root: Path = ROOT) -> int:
    """Return the sum, in bytes, of the peak memories of all descendants of this process."""
    import psutil  # distributed libraries depend on psutil

    children = psutil.Process().children(recursive=True)
    return sum(number(root / f"proc/{c.pid}/status", "VmHWM") or 0 for c in children)


def peak_rss_bytes(root: Path = ROOT) -> int:
    """Return the peak resident memory in bytes since `reset_peak` or the process's start."""
    peak = number(root / "proc/self/status", "VmHWM")
    if peak is not None:
        return peak
    import resource  # POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
