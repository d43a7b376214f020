"""How many threads the libraries use where several threads of ours call them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


def bound(threads: int) -> None:
    """Hold the libraries that are loaded to so many threads in this process."""
    threadpool_limits(threads)
    bound_here(threads)


def bound_here(threads: int) -> None:
    """Hold those to it that ask each thread of ours, Numba and PyTorch, in this one.

    Unlike to find all BLAS libraries, which takes milliseconds, it costs nothing.
    """
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


@contextmanager
def one_each() -> Iterator[None]:
    """Let BLAS and PyTorch work in the calling threads alone, and as before afterwards.

    Each of the threads has `bound_here` to call, too.
    """
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
