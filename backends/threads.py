"""Threads of ours that call a library, and how many of its own it uses meanwhile."""

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
    """Return how many CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


Share = TypeVar("Share")
Part = TypeVar("Part")


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Return so many threads, the same ones every time."""
    return ThreadPoolExecutor(threads)


def in_threads(
    of: Callable[[Share], Part],
    shares: Iterable[Share],
    pool: Callable[[int], ThreadPoolExecutor] = pool,
) -> list[Part]:
    """Return what a function makes of every share, in their order, each in a thread.

    The calling thread takes the first itself: to wake another for it would take
    tens of microseconds, and one share needs no other.

    Parameters
    ----------
    of : callable
    shares : iterable
        One at the least.
    pool : callable
        Gives so many threads, for the other shares; they are kept.
    """
    first, *others = shares
    handed = [pool(len(others)).submit(of, share) for share in others]
    return [of(first), *(part.result() for part in handed)]


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
def torch_alone() -> Iterator[None]:
    """Let PyTorch, if it is loaded, work in the calling thread alone meanwhile."""
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
    """Let BLAS and PyTorch work in the calling threads alone, and as before afterwards.

    Each of the threads has `bound_here` to call, too.
    """
    with threadpool_limits(1), torch_alone():
        yield
