"""Threads that each take a share of the chunks, without threads of PyTorch's own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier

import torch

from backends.torch.autograd import Chunks


@cache
def single_threaded(threads: int) -> ThreadPoolExecutor:
    """Return a pool of so many threads within which PyTorch takes no further ones.

    ``set_num_threads`` holds for the thread that calls it and for all that
    start later, so the number is put back once the pool's have started.
    """
    before, all_started = torch.get_num_threads(), Barrier(threads + 1)

    def hold() -> None:
        torch.get_num_threads()  # a thread's first call takes over the common number
        torch.set_num_threads(1)
        all_started.wait()

    pool = ThreadPoolExecutor(threads, initializer=hold)
    for _ in range(threads):
        pool.submit(int)
    all_started.wait()
    torch.set_num_threads(before)
    return pool


def in_shares(chunks: Chunks) -> list[Chunks]:
    """Deal the chunks out to as many threads as PyTorch may use."""
    threads = min(torch.get_num_threads(), len(chunks))
    return [chunks[i::threads] for i in range(threads)]
