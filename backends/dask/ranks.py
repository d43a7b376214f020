"""Descend with one actor (a rank) on each worker. Steps do not need Dask's scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count, islice
from operator import methodcaller
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from backends.dask.cluster import (
    Worker,
    WorkerLostError,
    check_versions,
    connect,
    results,
    wait_again,
    workers,
)
from backends.dask.rank import Rank
from backends.dask.sharing import share_of, source_of
from backends.errors import BackendError, Weights
from backends.names import Name
from backends.problem import Problem
from backends.rows.made import InMemory

Result = TypeVar("Result")


MEMORY_SHARE = 0.5
"""Fraction of a worker's memory that is available for its rows. If the rows need more memory,
they are read again in every step."""


FIRST_STEPS = 50
"""Number of steps in the first call to the workers. The duration of this call shows how long a
step takes. Later calls take as many steps as fit in `CHECKPOINT_SECONDS`."""


CHECKPOINT_SECONDS = 5.0
"""Approximate duration in seconds of a call to the workers. At the end of a call, the workers
return w. If a worker is lost during a call, the steps of this call are repeated."""


LOSSES = 3
"""Number of failed calls in a row after which the descent fails. A call fails if a worker is
lost during the call."""


class Ranks:
    """Descent with one actor (a rank) on each worker; each rank has an equal part of the rows.

    In every step, the ranks add up their gradients with PyTorch. If a worker does not have
    PyTorch, the process that calls `run` adds the gradients.

    The method `run` fetches w from the ranks every few seconds. If a worker is lost, the rows
    are divided again among the workers, and the descent continues from the last fetched w.
    """

    kernel: ClassVar[str]
    """Name of the backend that each worker uses, such as ``numpy:blocked``."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        self.source, self.learning_rate = source_of(problem), learning_rate
        self.backend = self.kernel if device == "cpu" else f"{self.kernel}@{device}"
        self.client = connect()
        self.ranks: dict[Worker, Any] = {}
        self.steps_at_once = FIRST_STEPS
        self._persist(lambda: None)

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w, done = np.array(w, dtype=np.float64), 0
        while done < steps:
            take = min(steps - done, self.steps_at_once)
            began = time.monotonic()
            w = self._persist(partial(self._steps, w, take))
            done += take
            a_step = max(time.monotonic() - began, 1e-6) / take
            self.steps_at_once = max(1, int(CHECKPOINT_SECONDS / a_step))
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        return self._persist(partial(self._sums, w))[0]

    def loss(self, w: ArrayLike) -> float:
        return self._persist(partial(self._sums, w))[1] / self.source.rows

    def _persist(self, work: Callable[[], Result]) -> Result:
        """Return ``work()``; if a worker is lost, divide the rows anew and try again.

        Raises
        ------
        BackendError
            A worker was lost in each of `LOSSES` calls in a row, or no worker is left.
        """
        for losses in count(1):
            try:
                if not self.ranks:
                    self._place()
                return work()
            except WorkerLostError as error:
                if losses >= LOSSES:
                    raise BackendError(
                        f"workers were lost {losses} times in a row: {error}"
                    ) from error
                before, self.ranks = len(self.ranks), {}
                wait_again(self.client, before)
        raise AssertionError  # never reached: the loop has no end

    def _place(self) -> None:
        """Divide the rows, start an actor on each worker, and connect the actors."""
        there = workers(self.client)
        rows = self.source.rows
        chosen = dict(islice(there.items(), rows))
        check_versions(self.client, Name.parse(self.backend).library, list(chosen))
        placing = {}
        for number, (address, worker) in enumerate(chosen.items()):
            bounds = (k * rows // len(chosen) for k in (number, number + 1))
            share: Any = share_of(self.source, *bounds)
            if isinstance(share.source, InMemory):
                share = self.client.scatter(share, workers=[address], hash=False)
            placing[address] = self.client.submit(
                Rank,
                *(number, len(chosen), self.backend, share, self.learning_rate),
                *(worker["threads"], int(MEMORY_SHARE * worker["memory_bytes"])),
                workers=[address],
                allow_other_workers=False,
                actor=True,
                pure=False,
            )
        ranks = results(self.client, placing)
        self.reduces = all(self._all(ranks, lambda rank: rank.can_reduce()))
        if self.reduces and len(ranks) > 1:  # a single rank works without PyTorch
            first, rank = next(iter(ranks.items()))
            meeting = results(self.client, {first: rank.listen(first)})[first]
            results(self.client, {a: r.join(*meeting, a) for a, r in ranks.items()})
        self.ranks = ranks

    def _steps(self, w: Weights, steps: int) -> Weights:
        if self.reduces:
            first, *others = self._all(self.ranks, lambda rank: rank.run(w, steps))
            if not all(np.array_equal(first, other, equal_nan=True) for other in others):
                raise BackendError("the workers' w are not the same: a broken all-reduce")
            return np.array(first)
        rate = self.source.loss.scale * self.learning_rate / self.source.rows
        for _ in range(steps):
            parts = self._all(self.ranks, methodcaller("gradient", w))
            w = w - rate * np.sum(parts, axis=0)
        return w

    def _sums(self, w: ArrayLike) -> tuple[Weights, float]:
        """Return the sums of the ranks' gradients and losses over all rows."""
        parts = self._all(self.ranks, lambda rank: rank.sums(w))
        return np.sum([part[0] for part in parts], axis=0), float(sum(p[1] for p in parts))

    def _all(self, ranks: Mapping[Worker, Any], call: Callable[[Any], Any]) -> list[Any]:
        """Call ``call(rank)`` for each rank (a Dask actor); return the list of results."""
        try:
            calls = {address: call(rank) for address, rank in ranks.items()}
        except RuntimeError as error:  # Dask raises it for an actor that is known to be lost
            raise WorkerLostError(str(error)) from error
        return list(results(self.client, calls).values())


class NumpyRanks(Ranks):
    """Descent with Dask workers that compute their gradients with NumPy."""

    kernel = "numpy:blocked"


class NumbaRanks(Ranks):
    """Descent with Dask workers that compute their gradients with Numba."""

    kernel = "numba:parallel"


class TorchRanks(Ranks):
    """Descent with Dask workers that compute their gradients with PyTorch, on CPUs or GPUs."""

    kernel = "torch:analytic"


class JaxRanks(Ranks):
    """Descent with Dask workers that compute their gradients with JAX."""

    kernel = "jax"
