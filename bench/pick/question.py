"""Hold the user's options for a pick, and convert them to a request for this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from backends.losses import SQUARED_ERROR, Loss
from backends.rows.source import Source
from bench.host.limits import available_bytes
from bench.host.machine import Machine
from bench.pick.recommend import Request


@dataclass(frozen=True)
class Question:
    """The user's question and options.

    Attributes
    ----------
    rows, features, iterations : int
    dtype : str
    backends, devices : tuple of str
        Names or patterns of the backends and devices to choose from.
    threads : int
    store : Path
        Folder of the results.
    loop_only : bool
        Whether to leave out techniques that work only for least squares.
    memory : int or None
        Bytes of memory that the backend is allowed to use; None for all free memory.
    budget : float
        Longest time for measuring, in seconds.
    fresh : bool
        Whether to ignore measurements from the store.
    verify : bool
        Whether to compare the predictions with new measurements at the end.
    source : Source or None
        The rows of the file that ``--data`` names; None without this option.
    loss : Loss
    """

    rows: int
    features: int
    iterations: int
    dtype: str
    backends: tuple[str, ...]
    devices: tuple[str, ...]
    threads: int
    store: Path
    loop_only: bool = False
    memory: int | None = None
    budget: float = 60.0
    fresh: bool = False
    verify: bool = False
    source: Source | None = None
    loss: Loss = SQUARED_ERROR


def request_of(question: Question, machine: Machine) -> Request:
    """Return the request that follows from a user's question and from this machine.

    The request includes the memory that can be used on the host and on each GPU.
    """
    gpus = {
        f"cuda:{i}": gpu.memory_bytes for i, gpu in enumerate(machine.gpus) if gpu.memory_bytes
    }
    memory = {"cpu": question.memory or available_bytes(), **gpus}
    return Request(
        *(question.rows, question.features, question.iterations, question.dtype),
        memory,
        question.loop_only,
        question.loss.name,
    )
