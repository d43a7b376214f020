"""Descend with Dask arrays; every step computes one task graph over all chunks of rows."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.delayed import delayed
from numpy.typing import ArrayLike

from backends.dask.cluster import (
    check_versions,
    connect,
    workers,
)
from backends.dask.sharing import Share, share_of, source_of
from backends.errors import Weights
from backends.problem import Array, Problem


class Arrays:
    """Descent with Dask arrays: the workers hold the chunks, and each step is a task graph."""

    CHUNK_ROWS = 1 << 16
    """Number of rows in a chunk. The sums of longer float32 chunks would lose digits."""

    def __init__(self, problem: Problem, learning_rate: float, device: str) -> None:
        source = source_of(problem)
        self.client = connect()
        check_versions(self.client, "dask", list(workers(self.client)))
        starts = range(0, source.rows, self.CHUNK_ROWS)
        chunks = [(start, min(start + self.CHUNK_ROWS, source.rows)) for start in starts]
        x, y = [], []
        for start, stop in chunks:
            chunk = delayed(_load)(share_of(source, start, stop))
            shape = stop - start, source.features
            x.append(da.from_delayed(chunk[0], shape, source.dtype))
            y.append(da.from_delayed(chunk[1], shape[:1], source.dtype))
        self.x, self.y = self.client.persist([da.concatenate(x), da.concatenate(y)])
        _wait(self.client, [self.x, self.y])
        self.rows, self.learning_rate = source.rows, learning_rate
        self.row_loss = source.loss  # NumPy's functions work on Dask's arrays, too

    def run(self, w: ArrayLike, steps: int) -> Weights:
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.learning_rate * self.row_loss.scale / self.rows * self.gradient(w)
        return w

    def gradient(self, w: ArrayLike) -> Weights:
        assert self.row_loss.slope is not None  # noqa: S101 the catalogue has checked the loss
        gradient = self.x.T @ self.row_loss.slope(np, self._prediction(w), self.y)
        return np.asarray(gradient.compute(), dtype=np.float64)

    def loss(self, w: ArrayLike) -> float:
        values = self.row_loss.value(np, self._prediction(w), self.y)
        return float(values.mean(dtype=np.float64).compute())

    def _prediction(self, w: ArrayLike) -> Any:
        return self.x @ np.asarray(w, dtype=self.x.dtype)


def _load(share: Share) -> tuple[Array, Array]:
    problem = share.source.load(share.start, share.stop)
    return problem.x.reshape(problem.rows, -1), problem.y


def _wait(client: Any, collections: list[Any]) -> None:
    """Wait until the workers have loaded all chunks; raise the error of a chunk that failed."""
    from distributed import wait

    wait(collections)
    for future in client.futures_of(collections):
        if future.status == "error":
            raise future.exception()
