"""Start Python threads, in each of which PyTorch uses one thread."""

from __future__ import annotations

from functools import cache
from threading import Barrier

import torch

from backends.threads import Threads
from backends.torch.autograd import Chunks


@cache
def single_threaded(count: int) -> Threads:
    """Return `count` Python threads, in each of which PyTorch uses one thread.

    ``torch.set_num_threads`` changes the number for the calling thread and for all threads that
    start later. This function therefore restores the old number before it returns.
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
    """Divide the chunks into one list for each thread that PyTorch is allowed to use."""
    threads = min(torch.get_num_threads(), len(chunks))
    return [chunks[i::threads] for i in range(threads)]
