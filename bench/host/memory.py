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
"""Parameter of ``mallopt``, from glibc's ``malloc.h``: blocks of this size get a map each."""

BLOCK_BYTES = 1 << 16
"""Size in bytes from which freed blocks return to the system at once: 64 KiB."""


def reset_peak(root: Path = ROOT) -> bool:
    """Set the peak to the memory held now; return False where that is impossible."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def settle(root: Path = ROOT) -> int | None:
    """Return freed memory to the system, reset the peak, and return the bytes held now.

    None where the peak cannot be reset: later peaks are then hidden by earlier ones.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)
    return rss_bytes(root) if reset_peak(root) else None


def keep_no_blocks() -> None:
    """Let the allocator return freed blocks to the system at once, where it can.

    By default glibc keeps freed blocks below 32 MB, and the peak then does not scale to
    larger data (mallopt(3): M_MMAP_THRESHOLD, and its dynamic adjustment). Every new block
    costs page faults afterwards, so call this after everything that is timed.
    """
    with contextlib.suppress(OSError, AttributeError):  # glibc's own
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, BLOCK_BYTES)


def provide(nbytes: int, root: Path = ROOT) -> bool:
    """Touch this much memory and release it, so that the system has it ready.

    A virtual machine gets its memory from its host when a page is touched for the
    first time, which takes up to 40 times as long as a later page fault. Without this,
    the first backend of a process would pay for all later ones.

    Parameters
    ----------
    nbytes : int
        At most half of what is available is touched.

    Returns
    -------
    bool
        False, and nothing done, where the peak could not start anew afterwards.
    """
    nbytes = min(nbytes, available_bytes() // 2)
    if nbytes < mmap.PAGESIZE or not reset_peak(root):
        return False
    with mmap.mmap(-1, nbytes) as pages:  # the allocator would change its habits
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without them
                pages.madvise(mmap.MADV_HUGEPAGE)
        view = np.frombuffer(pages, np.uint8)
        view[:: mmap.PAGESIZE] = 1
        del view
    return reset_peak(root)


def rss_bytes(root: Path = ROOT) -> int:
    """Return the resident memory now, in bytes; 0 if the system does not say."""
    return number(root / "proc/self/status", "VmRSS") or 0


def workers_peak_bytes(root: Path = ROOT) -> int:
    """Return the sum of the peaks of this process's children and theirs."""
    import psutil  # a distributed library's own dependency

    children = psutil.Process().children(recursive=True)
    return sum(number(root / f"proc/{c.pid}/status", "VmHWM") or 0 for c in children)


def peak_rss_bytes(root: Path = ROOT) -> int:
    """Return the peak resident memory, since `reset_peak` or the process's start."""
    peak = number(root / "proc/self/status", "VmHWM")
    if peak is not None:
        return peak
    import resource  # POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
