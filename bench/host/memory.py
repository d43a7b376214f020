"""Peak memory of this process, and how to measure it."""

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
"""Parameter of ``mallopt``, from glibc's ``malloc.h``: the size from which each block gets its
own memory map."""

BLOCK_BYTES = 1 << 16
"""Size in bytes from which freed blocks are returned to the system at once: 64 KiB."""


def reset_peak(root: Path = ROOT) -> bool:
    """Set the peak to the memory held now; return whether this was possible."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def settle(root: Path = ROOT) -> int | None:
    """Return freed memory to the system, reset the peak, and return the bytes held now.

    Return None if the peak cannot be reset: an earlier peak then hides later peaks.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)
    return rss_bytes(root) if reset_peak(root) else None


def keep_no_blocks() -> None:
    """Let the allocator return freed blocks to the system at once, if it can.

    By default glibc keeps freed blocks below 32 MB, and the peak then does not scale to larger
    data (mallopt(3): M_MMAP_THRESHOLD, and its dynamic adjustment). Afterwards every new block
    costs page faults, so call this function after all timings.
    """
    with contextlib.suppress(OSError, AttributeError):  # glibc's own
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def provide(nbytes: int, root: Path = ROOT) -> bool:
    """Touch and release memory, so that the system can provide this memory quickly.

    A virtual machine gets its memory from its host when a page is touched for the first time,
    which takes up to 40 times as long as a later page fault. Otherwise the first backend of a
    process would be slower than all later backends.

    Parameters
    ----------
    nbytes : int
        Size of the memory; at most half of the available memory is touched.

    Returns
    -------
    bool
        Whether the memory was touched; False if the peak could not be reset afterwards.
    """
    nbytes = min(nbytes, available_bytes() // 2)
    if nbytes < mmap.PAGESIZE or not reset_peak(root):
        return False
    with mmap.mmap(-1, nbytes) as pages:  # malloc would adapt its thresholds
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # the kernel may lack large pages
                pages.madvise(mmap.MADV_HUGEPAGE)
        view = np.frombuffer(pages, np.uint8)
        view[:: mmap.PAGESIZE] = 1
        del view
    return reset_peak(root)


def rss_bytes(root: Path = ROOT) -> int:
    """Return the current resident memory in bytes; 0 if it is unknown."""
    return number(root / "proc/self/status", "VmRSS") or 0


def workers_peak_bytes(root: Path = ROOT) -> int:
    """Return the sum of the peak memory of all descendants of this process."""
    import psutil  # distributed libraries depend on psutil

    children = psutil.Process().children(recursive=True)
    return sum(number(root / f"proc/{c.pid}/status", "VmHWM") or 0 for c in children)


def peak_rss_bytes(root: Path = ROOT) -> int:
    """Return the peak resident memory since `reset_peak` or since the process's start."""
    peak = number(root / "proc/self/status", "VmHWM")
    if peak is not None:
        return peak
    import resource  # POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
