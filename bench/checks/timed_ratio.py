"""Time two functions alternately, and compare the ratio of their times with a limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ROUNDS = 9
"""Smallest number of rounds. A round times each of the two compared functions once."""

ROUNDS_S = 15.0
"""Shortest duration of a comparison, in seconds. A shared machine sometimes provides fewer
cores for some seconds; a comparison must last longer."""


@dataclass(frozen=True)
class Finding:
    """Times of two functions, `mine` and `other`, that were timed alternately.

    Attributes
    ----------
    what : str
        Description of the comparison in a few words.
    mine, other : list of float
        Seconds per step of the two functions, one value per round.
    bound : float or None
        Limit of `ratio`; None for no limit.
    least : bool
        If true, `ratio` is a speed (other ÷ mine), and `bound` is its smallest allowed value.
        If false, `ratio` is a time (mine ÷ other), and `bound` is its largest allowed value.
    most_s : float
        Largest allowed median of `mine`, in seconds; infinity for no limit.
    """

    what: str
    mine: list[float]
    other: list[float]
    bound: float | None
    least: bool = True
    most_s: float = math.inf

    @property
    def ratio(self) -> float:
        """Median over all rounds of the ratio of the two functions' times.

        The attribute `least` says which function's time is the divisor.
        """
        pairs = zip(self.mine, self.other, strict=True)
        return median(o / m if self.least else m / o for m, o in pairs)

    @property
    def good(self) -> bool:
        """Whether `ratio` is within `bound`, and the median of `mine` is at most `most_s`."""
        if median(self.mine) > self.most_s:
            return False
        if self.bound is None:
            return True
        return self.ratio >= self.bound if self.least else self.ratio <= self.bound

    def __str__(self) -> str:
        mine, other = (f"{1e3 * median(side):.3g} ms" for side in (self.mine, self.other))
        wanted = []
        if self.bound is not None:
            wanted.append(f"ratio must be {'≥' if self.least else '≤'} {self.bound:g}")
        if self.most_s < math.inf:
            wanted.append(f"time must be ≤ {1e3 * self.most_s:g} ms")
        said = f" ({', '.join(wanted)})" if wanted else ""
        return f"{self.what}: {mine} against {other}: {self.ratio:.2f}{said}"


def seconds(work: Callable[[], object]) -> float:
    """Call a function; return the seconds that the call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternate(
    what: str,
    mine: Callable[[], object],
    other: Callable[[], object],
    bound: float | None,
    *,
    least: bool,
    steps: int = 1,
    most_s: float = math.inf,
) -> Finding:
    """Call two functions alternately and time them, after one call of each as warm-up.

    One call of a function takes `steps` steps; the times are divided by this number. `what`,
    `bound`, `least` and `most_s` become attributes of the returned `Finding`.
    """
    mine(), other()
    rounds: list[tuple[float, float]] = []
    until = time.perf_counter() + ROUNDS_S
    while len(rounds) < ROUNDS or time.perf_counter() < until:
        rounds.append((seconds(mine) / steps, seconds(other) / steps))
    sides = [r[0] for r in rounds], [r[1] for r in rounds]
    return Finding(what, *sides, bound, least, most_s)
