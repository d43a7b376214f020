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
"""Block size in bytes from which `keep_no_blocks` has an effect: 64 KiB."""


def reset_peak(root: Path = ROOT) -> bool:
    """Let the kernel record the peak memory anew; return whether the kernel allows this."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def settle(root: Path = ROOT) -> int | None:
    """Give freed memory back to the system, and let the kernel record the peak memory anew.

    The result is the resident memory in bytes. It is None if the peak cannot be reset; an
    earlier, higher peak then hides later peaks.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has this function
        ctypes.CDLL(None).malloc_trim(0)
    return rss_bytes(root) if reset_peak(root) else None


def keep_no_blocks() -> None:
    """Make glibc give freed blocks from `BLOCK_BYTES` on back to the system at once.

    By default, glibc may keep freed blocks of up to 32 MB, and the peak memory includes them
    (see M_MMAP_THRESHOLD in mallopt(3)). Call this function after all timings, because new
    blocks cause page faults afterwards.
    """
    with contextlib.suppress(OSError, AttributeError):  # only glibc has this function
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def provide(nbytes: int, root: Path = ROOT) -> bool:
    """Touch and release memory, so that a virtual machine gets this memory from its host.

    When a virtual machine touches a page for the first time, its host must provide the page.
    This takes up to 40 times as long as a later page fault. Without this function, the backend
    that is measured first would be slower than the other backends.

    Parameters
    ----------
    nbytes : int
        Size of the memory in bytes. At most half of the available memory is touched.

    Returns
    -------
    bool
        Whether the memory was touched and the peak was reset afterwards. Nothing is touched if
        the peak cannot be reset, or if `nbytes` is less than a page.
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
    """Return the peak memory of each descendant of this process, added up, in bytes."""
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
