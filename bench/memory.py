"""The most memory that this process has held."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from typing import TYPE_CHECKING

from bench.procfs import ROOT, number

if TYPE_CHECKING:
    from pathlib import Path


def reset_peak(root: Path = ROOT) -> bool:
    """Let the peak start again from what is held now; False where that is impossible."""
    try:
        (root / "proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def settle(root: Path = ROOT) -> int | None:
    """Give freed memory back, let the peak start anew and return what is held now, in bytes.

    None where the peak cannot be reset: what comes after cannot be told from
    what was before.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc's own
        ctypes.CDLL(None).malloc_trim(0)
    return number(root / "proc/self/status", "VmRSS") if reset_peak(root) else None


def peak_rss_bytes(root: Path = ROOT) -> int:
    """Return the peak resident memory, since `reset_peak` or the process's start."""
    peak = number(root / "proc/self/status", "VmHWM")
    if peak is not None:
        return peak
    import resource  # POSIX only

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
