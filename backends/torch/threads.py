"""Our own threads for shares of the chunks, with PyTorch limited to one thread in each."""

from __future__ import annotations

from functools import cache
from threading import Barrier

import torch

from backends.threads import Threads
from backends.torch.autograd import Chunks


@cache
def single_threaded(count: int) -> Threads:
    """Return `count` threads, with PyTorch limited to one thread in each.

    ``set_num_threads`` applies to the calling thread and to threads that start later. PyTorch's
    number is therefore reset once all of the threads have started.
    """
    before, all_started = torch.get_num_threads(), Barrier(count + 1)

    def hold() -> None:
        torch.get_num_threads()  # a thread's first call copies the process's number of threads
        torch.set_num_threads(1)
        all_started.wait()

    threads = Threads(count, initializer=hold)
    all_started.wait()
    torch.set_num_threads(before)
    return threads


def in_shares(chunks: Chunks) -> list[Chunks]:
    """Divide the chunks among as many threads as PyTorch may use."""
    threads = min(torch.get_num_threads(), len(chunks))
    return [chunks[i::threads] for i in range(threads)]
