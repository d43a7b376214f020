"""How many threads the libraries use where several threads of ours call them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


def bound(threads: int) -> None:
    """Hold the libraries that are loaded to so many threads, as far as this thread calls them.

    Numba asks each thread; BLAS and PyTorch are held in the whole process.
    """
    threadpool_limits(threads)
    bound_numba(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def bound_numba(threads: int) -> None:
    """Hold Numba, if it is loaded, to so many threads as far as this thread calls it."""
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))


@contextmanager
def one_each() -> Iterator[None]:
    """Let BLAS and PyTorch work in the calling threads alone, and as before afterwards."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)
