"""Measure how long threads wait for a processor, because a timing includes this time.

The system sometimes leaves two threads on one core for a while, although another core is free.
The threads then take twice as long. Linux counts the waiting time of each thread in a file
``schedstat``, which holds three numbers: the nanoseconds on a processor, the nanoseconds of
waiting, and the number of time slices.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.host.procfs import ROOT, read

MUCH = 0.5
"""A warm-up ends when its threads together wait for a processor for less than 0.5 s in each
second."""

LONGEST_S = 0.25
"""Seconds after which a warm-up ends even if its threads still wait for a processor.

Without this limit, a warm-up could last for hours while another program uses a processor.
"""


def waited_s(root: Path = ROOT) -> float | None:
    """Return for how many seconds the threads of this process have waited for a processor.

    The result is None if the time is unknown.
    """
    lines = [read(task / "schedstat").split() for task in (root / "proc/self/task").glob("*")]
    waits = [int(fields[1]) for fields in lines if len(fields) == 3]
    return sum(waits) / 1e9 if waits else None


class Waiting:
    """Measures how long this process's threads wait for a processor.

    The measurement begins with the creation of the object.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root, self.before, self.began = root, waited_s(root), time.perf_counter()

    def share(self) -> float | None:
        """Return the sum of the threads' waiting times for a processor, in seconds per second.

        With 4 threads, the result is between 0 and 4; None if unknown. The waiting time of
        threads that have ended is not counted.
        """
        after, seconds = waited_s(self.root), time.perf_counter() - self.began
        if self.before is None or after is None:
            return None
        return max(0.0, after - self.before) / seconds


def warm_up(work: Callable[[], object], root: Path = ROOT) -> None:
    """Repeat the work until its threads hardly wait for a processor.

    The repetition stops after `LONGEST_S` seconds even if the threads still wait.
    """
    began = time.perf_counter()
    while True:
        waiting = Waiting(root)
        work()
        if (waiting.share() or 0.0) < MUCH or time.perf_counter() - began > LONGEST_S:
            return
