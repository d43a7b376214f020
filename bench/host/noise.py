"""Read from counters of the operating system whether a measurement was disturbed.

A timing is longer if other programs use the processors, if a CPU quota stops the process, or if
the machine swaps.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.host.limits import throttled_periods
from bench.host.procfs import ROOT, number, read

OTHERS, STOLEN = 0.1, 0.02
"""Limits for reporting a disturbance, as fractions of the time of all processors.

A disturbance is reported if other programs use more than 10 % of this time, or if other virtual
machines use more than 2 %.
"""

IDLE = (3, 4)
"""Indices of two numbers in the first line of ``/proc/stat``: the idle time, and the time of
waiting for a disk."""

STEAL = 7
"""Index of a number in the first line of ``/proc/stat``: the time that other virtual machines
used."""


_credited_s: list[float] = []
"""Processor times in seconds that were passed to `credit`."""


def credit(seconds: float) -> None:
    """Count processor time of a descendant, in seconds, as time of this process.

    The kernel adds the time of a child to its parent only after the child's end.
    """
    _credited_s.append(seconds)


class Noise:
    """Measures how much the machine is disturbed, from the creation of this object on.

    Parameters
    ----------
    root : Path
        Root of the file system; tests give another folder.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root, self.before, self.began = root, _counts(root), time.monotonic()

    def seen(self) -> dict[str, float]:
        """Return how much the machine was disturbed since the creation of this object.

        Returns
        -------
        dict
            - ``throttled``: number of periods in which a CPU quota stopped the process.
            - ``swapped``: number of pages that the machine swapped in or out.
            - ``others``: share (0 to 1) of all processors' time that other programs used.
            - ``stolen``: share (0 to 1) of all processors' time that other virtual machines
              used.
        """
        now = _counts(self.root)
        gone = {key: now[key] - self.before[key] for key in now}
        cpus = os.cpu_count() or 1
        time_there_was = max(cpus * (time.monotonic() - self.began), 1e-9)
        others = gone["busy_s"] - gone["own_s"]
        return {
            "throttled": gone["throttled"],
            "swapped": gone["swapped"],
            "others": round(max(0.0, others / time_there_was), 3),
            "stolen": round(gone["stolen_s"] / time_there_was, 3),
        }


def _counts(root: Path) -> dict[str, float]:
    tick = os.sysconf("SC_CLK_TCK")
    # The fields after `STEAL` are guest time, which the user time already includes.
    ticks = [int(field) for field in read(root / "proc/stat").partition("\n")[0].split()[1:9]]
    stolen = ticks[STEAL] if len(ticks) > STEAL else 0
    idle = sum(ticks[i] for i in IDLE if i < len(ticks))
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "throttled": throttled_periods(root),
        "swapped": sum(number(root / "proc/vmstat", key) or 0 for key in ("pswpin", "pswpout")),
        "busy_s": (sum(ticks) - idle - stolen) / tick,
        "stolen_s": stolen / tick,
        "own_s": sum(usage.ru_utime + usage.ru_stime for usage in own) + sum(_credited_s),
    }


def noticed(noises: Iterable[Mapping[str, float]]) -> list[str]:
    """Return a line of text for each kind of disturbance during a run.

    `noises` has one result of `Noise.seen` for each task of the run. A task is the work of one
    child process.
    """
    noises = [noise for noise in noises if noise]
    found = []

    def say(what: str, parts: int) -> None:
        if parts:
            found.append(f"{what} in {parts} of {len(noises)} measured parts")

    def above(kind: str, least: float) -> list[float]:
        return [noise[kind] for noise in noises if noise.get(kind, 0.0) > least]

    limits = (("programs", "others", OTHERS), ("virtual machines", "stolen", STOLEN))
    for who, kind, least in limits:
        shares = above(kind, least)
        most = max(shares, default=0.0)
        say(f"other {who} took up to {most:.0%} of the CPUs", len(shares))
    say("the CPU quota stopped the process", len(above("throttled", 0)))
    say("the machine swapped", len(above("swapped", 0)))
    return found
