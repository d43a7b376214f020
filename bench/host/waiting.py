"""Whether threads wait for a processor, which no timing can tell from work.

Two threads that share one core take twice as long as on two. The scheduler
puts them there for a while when others have just run, or when another program
has a core; Linux counts the time (``/proc/…/schedstat``: time on a processor,
time waiting for one, and how often).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bench.host.procfs import ROOT, read

MUCH = 0.5
"""Seconds waited in a second, all threads together, that a warm-up does not end with."""

LONGEST_S = 0.5
"""A warm-up ends after so many seconds, come what may: another program may stay."""


def waited_s(root: Path = ROOT) -> float | None:
    """Return the seconds that this process's threads have waited; None if nobody counts."""
    lines = [read(task / "schedstat").split() for task in (root / "proc/self/task").glob("*")]
    waits = [int(fields[1]) for fields in lines if len(fields) == 3]
    return sum(waits) / 1e9 if waits else None


class Waiting:
    """Counts from where it is made on."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root, self.before, self.began = root, waited_s(root), time.perf_counter()

    def share(self) -> float | None:
        """Return the seconds waited in a second since then; None if nobody counts.

        A thread that has ended takes its count along, hence never below 0.
        """
        after, seconds = waited_s(self.root), time.perf_counter() - self.began
        if self.before is None or after is None:
            return None
        return max(0.0, after - self.before) / seconds


def warm_up(work: Callable[[], object], root: Path = ROOT) -> None:
    """Repeat the work until its threads have processors of their own."""
    began = time.perf_counter()
    while True:
        waiting = Waiting(root)
        work()
        if (waiting.share() or 0.0) < MUCH or time.perf_counter() - began > LONGEST_S:
            return
