"""The Dask actor on each worker, which holds rows of the data and computes their gradient."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import ArrayLike

from backends.catalogue import open_backend
from backends.dask.sharing import Share
from backends.errors import Weights
from backends.rows.streamed import place
from backends.threads import bound, bound_here

REDUCE_SECONDS = 300.0
"""Longest wait in seconds for the sums of the other workers. The wait ends earlier if the
process of another worker ends."""


class Rank:
    """A Dask actor (a rank, as in MPI) that holds the rows of one worker.

    All ranks have the same w. In every step, each rank computes the gradient of its own rows.
    The ranks then exchange and add up these gradients (an all-reduce).

    Parameters
    ----------
    number, ranks : int
        Index of this rank, counted from 0, and the total number of ranks.
    backend : str
        Name of the backend that computes the gradient of the rows.
    share : Share
        The rank's rows.
    learning_rate : float
    threads : int
        Number of threads for the backend.
    memory_bytes : int
        Memory in bytes that is available for the rows. If the rows need more memory, they are
        read again in every step.
    """

    def __init__(
        self,
        number: int,
        ranks: int,
        backend: str,
        share: Share,
        learning_rate: float,
        threads: int,
        memory_bytes: int,
    ) -> None:
        self.number, self.ranks, self.threads = number, ranks, threads
        self.share, self.learning_rate = share, learning_rate
        self.device = backend.partition("@")[2] or "cpu"
        opened = open_backend(backend)
        bound(threads)  # limits only libraries that are already loaded
        rows = share.start, share.stop
        self.descent = place(
            opened, share.source, learning_rate, memory_bytes, *rows, threads=threads
        )
        self.group: Any = None
        self.store: Any = None

    def can_reduce(self) -> bool:
        """Return whether this worker has PyTorch, which sums the gradients of all workers."""
        return find_spec("torch") is not None

    def listen(self, address: str) -> tuple[str, int]:
        """Open a server through which all `Rank` actors connect; return its host and port."""
        host = urlsplit(address).hostname or "127.0.0.1"
        self.store = _distributed().TCPStore(host, 0, is_master=True, wait_for_workers=False)
        return host, self.store.port

    def join(self, host: str, port: int, address: str) -> None:
        """Connect to the `Rank` actors on all other workers, and wait until all are connected.

        The actors form a new PyTorch process group, because the default group can already
        exist.
        """
        distributed, wait = _distributed(), timedelta(seconds=REDUCE_SECONDS)
        store = self.store or distributed.TCPStore(host, port, is_master=False, timeout=wait)
        if self.device.startswith("cuda"):
            options = distributed.ProcessGroupNCCL.Options()
            kind = distributed.ProcessGroupNCCL
        else:
            options = distributed.ProcessGroupGloo._Options()  # noqa: SLF001
            kind = distributed.ProcessGroupGloo
            mine = urlsplit(address).hostname or host
            options._devices = [kind.create_device(hostname=mine)]  # noqa: SLF001
        options._timeout = wait  # noqa: SLF001
        self.group = kind(store, self.number, self.ranks, options)
        self._reduce(np.zeros(1))

    def run(self, w: ArrayLike, steps: int) -> Weights:
        """Take `steps` steps, starting at w, and return the new w.

        The actors on all workers run at the same time, because each step adds up their
        gradients.
        """
        bound_here(self.threads)
        w = np.array(w, dtype=np.float64)
        rate = self.share.source.loss.scale * self.learning_rate / self.share.rows
        for _ in range(steps):
            w -= rate * self._reduce(self.descent.gradient(w))
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        """Return ``xᵀ·slope`` over this worker's rows, not divided by the number of rows."""
        bound_here(self.threads)
        return self.descent.gradient(w)

    def sums(self, w: ArrayLike) -> tuple[Weights, float]:
        """Return the result of `gradient`, and the summed loss of this worker's rows."""
        own_rows = self.share.stop - self.share.start
        return self.gradient(w), self.descent.loss(w) * own_rows

    def _reduce(self, sums: Weights) -> Weights:
        """Return the element-wise sum of the arrays `sums` of all workers."""
        if self.ranks == 1:
            return sums
        import torch

        on_device = torch.from_numpy(sums).to(self.device)
        try:
            self.group.allreduce([on_device]).wait()
        except RuntimeError:
            self.group = self.store = None  # closing the connections tells the other ranks
            raise
        return on_device.cpu().numpy()


def _distributed() -> Any:
    return import_module("torch.distributed")
