"""Call a library in our own threads, and limit the number of threads that a library uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

from threadpoolctl import threadpool_limits


def processors() -> int:
    """Return the number of CPUs on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Share = TypeVar("Share")
Part = TypeVar("Part")


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool of `threads` threads; later calls return the existing pool."""
    return ThreadPoolExecutor(threads)


def in_threads(
    of: Callable[[Share], Part],
    shares: Iterable[Share],
    pool: Callable[[int], ThreadPoolExecutor] = pool,
) -> list[Part]:
    """Call a function for every share, each in its own thread; return the results in order.

    The calling thread works on the first share, because waking another thread takes tens of
    microseconds.

    Parameters
    ----------
    of : callable
        The function.
    shares : iterable
        At least one share.
    pool : callable
        ``pool(threads)`` returns the executor for all shares after the first.
    """
    first, *others = shares
    handed = [pool(len(others)).submit(of, share) for share in others]
    return [of(first), *(part.result() for part in handed)]


def bound(threads: int) -> None:
    """Limit every loaded library to `threads` threads in this process."""
    threadpool_limits(threads)
    bound_here(threads)


def bound_here(threads: int) -> None:
    """Limit Numba and PyTorch in this thread; both keep a limit for each calling thread.

    This call is fast, whereas `bound` takes milliseconds to find all BLAS libraries.
    """
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


@contextmanager
def torch_alone() -> Iterator[None]:
    """Let PyTorch, if it is loaded, use only the calling thread inside the context."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(before)


@contextmanager
def one_each() -> Iterator[None]:
    """Let BLAS and PyTorch use only the calling threads inside the context.

    Each calling thread also has to call `bound_here`.
    """
    with threadpool_limits(1), torch_alone():
        yield
