"""Compare step times of two Dask workers with those of two processes and of one Dask worker."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np

from backends import open_backend
from backends.rows.made import Generated
from backends.rows.source import Source
from backends.threads import bound
from bench.checks.timed_ratio import Finding, alternate, seconds
from bench.measure.verify import LEARNING_RATE

OVERHEAD = 1.3
"""Largest allowed ratio: step time of two Dask workers ÷ step time of two processes without
Dask."""

EFFICIENCY = 0.9
"""Smallest allowed ratio: step time of one worker over n rows ÷ step time of two workers over
2·n rows. A ratio of 1 would mean that two workers do twice the work in the same time."""

WITHOUT_TORCH_S = 6e-3
"""Largest allowed time in seconds of a step in which the Dask client, instead of PyTorch, adds
up the gradients of the workers: 6 ms."""

SMALL = Generated(1000, 32)
"""Data so small that almost all of a step's time is overhead."""

STEPS = 300
"""Number of steps in each timed call of `overhead`."""

WEAKLY_SCALED = (
    ("numba", 500_000, 128, EFFICIENCY),
    ("numpy:blocked", 5_000_000, 8, None),
    ("numba:parallel", 1_000_000, 32, None),
)
"""Arguments of `weak_scaling`: backend, rows per worker, features, and limit of the ratio.

The ratio is the step time of one worker ÷ the step time of two workers. The limit is None for
backends that wait for memory, because the two workers share the memory of the machine.
"""


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Start a local Dask cluster for the ``dask`` backends; each worker has one thread."""
    import dask
    from distributed import LocalCluster

    from backends.dask import cluster

    # Closing the cluster would log warnings.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(cluster.QUIET):
        local: Any = LocalCluster(
            n_workers=count, threads_per_worker=1, dashboard_address=cluster.ANY_PORT
        )
    os.environ[cluster.SCHEDULER] = local.scheduler_address
    try:
        yield
    finally:
        cluster.close()
        del os.environ[cluster.SCHEDULER]
        local.close()


def plain_rank(
    number: int, count: int, port: int, kernel: str, source: Source, orders: Connection
) -> None:
    """Run one of `count` processes that descend together without Dask.

    In each step, each process computes the gradient of its rows, and PyTorch adds up the
    gradients. The process receives numbers of steps from `orders`; the number 0 ends it.
    """
    import torch
    from torch import distributed as dist

    opened = open_backend(kernel)
    bound(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=number, world_size=count)
    rows = source.rows // count
    descent = opened.place(source.load(number * rows, (number + 1) * rows), LEARNING_RATE)
    w = np.zeros(source.features)
    while steps := orders.recv():
        for _ in range(steps):
            sums = torch.from_numpy(descent.gradient(w))
            dist.all_reduce(sums)
            w = w - 2 * LEARNING_RATE / source.rows * sums.numpy()
        orders.send(w)
    dist.destroy_process_group()


@contextmanager
def plain_ranks(count: int, kernel: str, source: Source) -> Iterator[Callable[[int], None]]:
    """Start processes that descend together; yield a function that runs some steps.

    Each process has an equal part of the rows.
    """
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(count)]
    ranks = [
        spawn.Process(
            target=plain_rank, args=(k, count, port, kernel, source, theirs), daemon=True
        )
        for k, (_, theirs) in enumerate(pipes)
    ]
    for rank in ranks:
        rank.start()

    def run(steps: int) -> None:
        for ours, _ in pipes:
            ours.send(steps)
        for ours, _ in pipes:
            ours.recv()

    try:
        yield run
    finally:
        for ours, _ in pipes:
            ours.send(0)
        for rank in ranks:
            rank.join()


@contextmanager
def dask_ranks(count: int, kernel: str, source: Source) -> Iterator[Callable[[int], None]]:
    """Start Dask workers that descend together; yield a function that runs some steps.

    Each worker has an equal part of the rows.
    """
    from backends.dask.ranks import Ranks

    technique = type("Kernel", (Ranks,), {"kernel": kernel})
    with workers(count):
        descent = technique(source.load(), LEARNING_RATE, "cpu")
        yield lambda steps: descent.run(np.zeros(source.features), steps)


def overhead() -> Iterator[Finding]:
    """Compare a step of two Dask workers with a step of two processes without Dask.

    In the first comparison, the Dask workers add up their gradients with PyTorch. In the
    second, the Dask client adds them up.
    """
    with workers(2), plain_ranks(2, "numpy:blocked", SMALL) as plain:
        descent: Any = open_backend("dask:numpy").place(SMALL.load(), LEARNING_RATE)
        start = np.zeros(SMALL.features)

        def steps(count: int, *, reduces: bool) -> None:
            descent.reduces = reduces
            descent.run(start, count)

        yield alternate(
            "a step of 2 workers against one of 2 plain processes",
            lambda: steps(STEPS, reduces=True),
            lambda: plain(STEPS),
            OVERHEAD,
            least=False,
            steps=STEPS,
        )
        yield alternate(
            "a step of 2 workers without PyTorch against one of 2 plain processes",
            lambda: steps(STEPS, reduces=False),
            lambda: plain(STEPS),
            None,
            least=False,
            steps=STEPS,
            most_s=WITHOUT_TORCH_S,
        )


def weak_scaling(
    kernel: str, rows: int, features: int, least: float | None
) -> Iterator[Finding]:
    """Compare steps of two workers with steps of one worker that has half of the rows.

    There are two comparisons: with Dask workers, and with processes that do not use Dask. For
    Dask workers, `least` is the smallest allowed ratio: step time of one worker ÷ step time of
    two workers.
    """
    steps = 20
    what = f"{kernel}, {2 * rows:g} × {features} on 2 {{}} against half the rows on 1"
    for ranks, named in ((dask_ranks, "workers"), (plain_ranks, "plain processes")):
        sides: list[list[float]] = [[], []]
        for _ in range(3):
            for count in (2, 1):
                with ranks(count, kernel, Generated(count * rows, features)) as run:
                    run(steps)
                    some = [seconds(partial(run, steps)) / steps for _ in range(3)]
                    sides[count - 1].append(median(some))
        yield Finding(what.format(named), sides[1], sides[0], least)
        least = None  # plain processes have no limit
