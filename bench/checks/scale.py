"""What streaming and a cluster cost beside the bare work (``nox -s scale-check``).

Each figure is a ratio of two sides measured in turn: a pass over a file against
reading it once, a step of Dask's workers against the same step of two plain
processes, twice the rows on two workers against half of them on one.

Weak scaling is asked of a kernel that a core's arithmetic bounds, Numba's loop. Those
that memory bounds cannot have it, where two cores share what one can nearly use up:
what they reach is printed beside what two plain processes do.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from backends import open_backend
from backends.rows.datafile import open_source
from backends.rows.made import Generated
from backends.rows.source import Source
from backends.rows.streamed import Streamed
from backends.threads import bound
from bench.host.threads import apply
from bench.measure.verify import LEARNING_RATE

BACKEND = "numba:parallel"

ROUNDS, ROUNDS_S = 9, 15.0
"""At the least of a comparison. On a shared machine two cores may be worth one for some
seconds, which a side that needs only one of them does not notice."""

FEATURES = 1, 2, 4, 32
"""Of the files: what rows of so many cost differs by the kernel that sums over them."""

READ_BYTES = 64 << 20
"""Of a file that are read once at a time."""

SPEED, EFFICIENCY, OVERHEAD = 0.8, 0.9, 1.3
"""Of reading once and of one worker's pace, at the least; of plain steps, at the most."""

WITHOUT_TORCH_S = 6e-3
"""A step of two workers whose sums are added up by the client, at the most."""

SMALL = Generated(1000, 32)
"""Rows whose sums take no time: a step is what surrounds it."""

STEPS = 300

WEAKLY_SCALED = (
    ("numba", 500_000, 128, EFFICIENCY),
    ("numpy:blocked", 5_000_000, 8, None),
    ("numba:parallel", 1_000_000, 32, None),
)
"""A kernel, rows of a worker, features, and the share of one worker's pace at the least."""


@dataclass(frozen=True)
class Finding:
    """Two sides, measured in turn.

    Attributes
    ----------
    mine, other : list of float
        Seconds of each round.
    bound : float or None
        Of the ratio; None asks for nothing.
    least : bool
        Whether more of the ratio is better.
    most_s : float
        Of the median of `mine`.
    """

    what: str
    mine: list[float]
    other: list[float]
    bound: float | None
    least: bool = True
    most_s: float = math.inf

    @property
    def ratio(self) -> float:
        """The rounds' median: other ÷ mine where more of it is better, else mine ÷ other."""
        pairs = zip(self.mine, self.other, strict=True)
        return median(o / m if self.least else m / o for m, o in pairs)

    @property
    def good(self) -> bool:
        """Whether ratio and time keep their bounds."""
        if median(self.mine) > self.most_s:
            return False
        if self.bound is None:
            return True
        return self.ratio >= self.bound if self.least else self.ratio <= self.bound

    def __str__(self) -> str:
        mine, other = (f"{1e3 * median(side):.3g} ms" for side in (self.mine, self.other))
        wanted = []
        if self.bound is not None:
            wanted.append(f"{'≥' if self.least else '≤'} {self.bound:g} wanted")
        if self.most_s < math.inf:
            wanted.append(f"≤ {1e3 * self.most_s:g} ms wanted")
        said = f" ({', '.join(wanted)})" if wanted else ""
        return f"{self.what}: {mine} against {other}: {self.ratio:.2f}{said}"


def seconds(work: Callable[[], object]) -> float:
    """Time one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(
    what: str,
    mine: Callable[[], object],
    other: Callable[[], object],
    bound: float | None,
    *,
    least: bool,
    steps: int = 1,
    most_s: float = math.inf,
) -> Finding:
    """Time `steps` of both sides, one after the other, after a round that warms them up."""
    mine(), other()
    rounds: list[tuple[float, float]] = []
    until = time.perf_counter() + ROUNDS_S
    while len(rounds) < ROUNDS or time.perf_counter() < until:
        rounds.append((seconds(mine) / steps, seconds(other) / steps))
    sides = [r[0] for r in rounds], [r[1] for r in rounds]
    return Finding(what, *sides, bound, least, most_s)


# Files


def write_npy(folder: Path, source: Source) -> Path:
    """Write rows as an array of features and target.

    With ordinary writes, as `numpy.save` does: the system keeps pages that were written
    through a map in another way.
    """
    path = folder / "rows.npy"
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(source.dtype)),
        "fortran_order": False,
        "shape": (source.rows, source.features + 1),
    }
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in source.blocks():
            held = min(len(block.y), source.rows - block.start)
            rows = np.column_stack([block.x.reshape(len(block.y), -1), block.y])[:held]
            file.write(rows.tobytes())
    return path


def write_parquet(folder: Path, source: Source) -> Path:
    """Write the same rows as columns, uncompressed as random floats are."""
    pa, parquet = _pyarrow()

    path = folder / "rows.parquet"
    names = [*(f"x{j}" for j in range(source.features)), "y"]
    schema = pa.schema([(name, pa.from_numpy_dtype(source.dtype)) for name in names])
    plain = {"compression": "none", "use_dictionary": False}
    with parquet.ParquetWriter(path, schema, **plain) as writer:
        for block in source.blocks():
            held = min(len(block.y), source.rows - block.start)
            x = block.x.reshape(len(block.y), -1)
            columns = [*x[:held].T, block.y[:held]]
            writer.write_table(pa.table(list(map(np.ascontiguousarray, columns)), schema))
    return path


def _pyarrow() -> tuple[Any, Any]:
    return import_module("pyarrow"), import_module("pyarrow.parquet")


def read_npy(path: Path) -> None:
    """Read a mapped array once, block by block, into memory that is used again."""
    rows = np.load(path, mmap_mode="r")
    length = READ_BYTES // rows[:1].nbytes
    into = np.empty((length, rows.shape[1]), rows.dtype)
    for start in range(0, len(rows), length):
        part = rows[start : start + length]
        np.copyto(into[: len(part)], part)


def read_parquet(path: Path) -> None:
    """Decode every batch once, with pyarrow's own threads."""
    _, parquet = _pyarrow()
    with parquet.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass


FORMATS: dict[str, tuple[Callable[[Path, Source], Path], Callable[[Path], None]]] = {
    "npy": (write_npy, read_npy),
    "parquet": (write_parquet, read_parquet),
}


def streaming(kind: str, source: Source, folder: Path) -> Finding:
    """Hold a step over a file against reading it once, both from a warm file cache."""
    write, read = FORMATS[kind]
    path = write(folder, source)
    with path.open("rb") as file:  # or the system would go on writing beside what is timed
        os.fsync(file.fileno())
    descent = Streamed(open_backend(BACKEND), open_source(path), LEARNING_RATE)
    start = np.ones(source.features)
    what = f"{kind}, {source.rows:g} × {source.features}: a step against a read"
    found = in_turn(what, lambda: descent.run(start, 1), lambda: read(path), SPEED, least=True)
    path.unlink()
    return found


# Workers


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Let the ``dask`` backends use so many workers of one thread each."""
    import dask
    from distributed import LocalCluster

    from backends.dask import cluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # of a cluster that is closed
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
    """Descend as one of some processes of PyTorch's own, whenever told to."""
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
    """Start processes without Dask that share the rows; yield what lets them take steps."""
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
    """Let workers share the rows and run any backend's kernel; the same."""
    from backends.dask.ranks import Ranks

    technique = type("Kernel", (Ranks,), {"kernel": kernel})
    with workers(count):
        descent = technique(source.load(), LEARNING_RATE, "cpu")
        yield lambda steps: descent.run(np.zeros(source.features), steps)


def overhead() -> Iterator[Finding]:
    """Hold a step of two Dask workers against one of two plain processes."""
    with workers(2), plain_ranks(2, "numpy:blocked", SMALL) as plain:
        descent: Any = open_backend("dask:numpy").place(SMALL.load(), LEARNING_RATE)
        start = np.zeros(SMALL.features)

        def steps(count: int, *, reduces: bool) -> None:
            descent.reduces = reduces
            descent.run(start, count)

        yield in_turn(
            "a step of 2 workers against one of 2 plain processes",
            lambda: steps(STEPS, reduces=True),
            lambda: plain(STEPS),
            OVERHEAD,
            least=False,
            steps=STEPS,
        )
        yield in_turn(
            "the same without PyTorch",
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
    """Hold 2·n rows on two workers against n on one, a thread each; and plain processes."""
    steps = 20
    what = f"{kernel}, {2 * rows:g} × {features} on 2 {{}} against half on 1"
    for ranks, named in ((dask_ranks, "workers"), (plain_ranks, "plain processes")):
        sides: list[list[float]] = [[], []]
        for _ in range(3):
            for count in (2, 1):
                with ranks(count, kernel, Generated(count * rows, features)) as run:
                    run(steps)
                    some = [seconds(partial(run, steps)) / steps for _ in range(3)]
                    sides[count - 1].append(median(some))
        yield Finding(what.format(named), sides[1], sides[0], least)
        least = None  # of Dask only


@click.command()
@click.option(
    "--size", type=float, default=1.5e9, show_default=True, help="Bytes of the files."
)
@click.option("--only", type=click.Choice(["files", "workers"]), help="One half.")
def main(size: float, only: str | None) -> None:
    """Print what streaming and a cluster cost; exit 1 where that is too much."""
    apply()
    found = []

    def note(finding: Finding) -> None:
        found.append(finding)
        click.echo(finding)

    if only != "workers":
        with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
            for kind in FORMATS:
                for features in FEATURES:
                    rows = int(size / 4 / (features + 1))
                    note(streaming(kind, Generated(rows, features), Path(folder)))
    if only != "files":
        for finding in overhead():
            note(finding)
        for kernel, rows, features, least in WEAKLY_SCALED:
            for finding in weak_scaling(kernel, rows, features, least):
                note(finding)
    sys.exit(0 if all(finding.good for finding in found) else 1)


if __name__ == "__main__":
    main()
