"""Disturbances of a measurement, from the kernel's counters.

Other programs on the processors, a CPU quota that stops the process, and swapping make a timing
longer, and the timing alone does not show the cause.
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
"""Smallest reported shares of the processors' time: of other programs, and of other virtual
machines."""

IDLE = (3, 4)
"""Positions in the first line of ``/proc/stat`` of the idle time and the disk waiting time."""

STEAL = 7
"""Position in the first line of ``/proc/stat`` of the time taken by other virtual machines."""


_credited_s: list[float] = []
"""Processor times in seconds that `credit` was told."""


def credit(seconds: float) -> None:
    """Count processor time of a descendant that still runs, or whose parent still runs, as own.

    The kernel adds the time of a child to its parent only when the parent waits for its end.
    """
    _credited_s.append(seconds)


class Noise:
    """Disturbances since the creation of this object.

    Parameters
    ----------
    root : Path
        Root of the file system.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root, self.before, self.began = root, _counts(root), time.monotonic()

    def seen(self) -> dict[str, float]:
        """Return the counts since the creation of this object.

        Returns
        -------
        dict
            ``throttled`` periods, ``swapped`` pages, and as shares of all processors'
            time ``others`` (other programs) and ``stolen`` (other virtual machines).
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
    # The fields after steal are guest time, which the user time includes.
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
    """Return a line for each kind of disturbance, with its strength and frequency."""
    noises = [noise for noise in noises if noise]
    found = []

    def say(what: str, parts: int) -> None:
        if parts:
            found.append(f"{what} in {parts} of {len(noises)} parts")

    def above(kind: str, least: float) -> list[float]:
        return [noise[kind] for noise in noises if noise.get(kind, 0.0) > least]

    for who, kind, least in (("programs", "others", OTHERS), ("machines", "stolen", STOLEN)):
        shares = above(kind, least)
        most = max(shares, default=0.0)
        say(f"other {who} took up to {most:.0%} of the CPUs", len(shares))
    say("the CPU quota stopped it", len(above("throttled", 0)))
    say("the machine swapped", len(above("swapped", 0)))
    return found
