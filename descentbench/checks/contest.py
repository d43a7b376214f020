"""Compare the time that several programs take to fit the same data equally well.

A method has settings from coarse to fine. Its first setting that reaches the target is timed;
the methods that reach the target are then timed alternately, so that a disturbance affects all.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.show.formats import markdown_text
from bench.show.text import duration

HEADINGS = "method", "time", "÷ fastest", "first fit", "excess of the loss", "setting"


@dataclass(frozen=True)
class Method:
    """A way to fit the data.

    Attributes
    ----------
    name : str
    fit : callable
        Takes a setting; returns the weights of the features and, as the last, the intercept.
    settings : sequence
        Settings from coarse to fine.
    meaning : str
        What a setting is, such as ``tol``; empty for a method with one setting.
    left_out : str
        Why the method does not take part; empty if it does.
    """

    name: str
    fit: Callable[[float], Sequence[float]]
    settings: Sequence[float] = (0.0,)
    meaning: str = ""
    left_out: str = ""


@dataclass
class Entry:
    """The result of a method: the setting that was timed, and its times.

    Attributes
    ----------
    method : Method
    setting : float
        The first setting that reached the target, or else the last that was tried.
    excess : float
        Excess of the loss over the minimum, relative to the minimum.
    first_s : float
        Time of the very first fit in seconds, imports and compilation included.
    seconds : list of float
        Times of the timed fits.
    problem : str
        Why the method was not timed; empty if it was.
    """

    method: Method
    setting: float = 0.0
    excess: float = float("inf")
    first_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    problem: str = ""


def timed(method: Method, setting: float) -> tuple[float, Sequence[float]]:
    """Return the time of a fit in seconds, and its weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a coarse setting does not converge
        began = time.perf_counter()
        weights = method.fit(setting)
    return time.perf_counter() - began, weights


def calibrated(
    method: Method, excess: Callable[[Sequence[float]], float], target: float, limit_s: float
) -> Entry:
    """Find the first setting whose loss is near enough to the minimum.

    A method that is left out is not tried. The search ends when the fits that missed the
    target have taken more than `limit_s` seconds.
    """
    entry, in_vain = Entry(method, problem=method.left_out), 0.0
    if entry.problem:
        return entry
    for setting in method.settings:
        try:
            seconds, weights = timed(method, setting)
        except Exception as error:
            entry.problem = f"failed: {next(iter(str(error).splitlines()), repr(error))}"
            return entry
        entry.first_s = entry.first_s or seconds
        entry.setting, entry.excess = setting, excess(weights)
        if entry.excess <= target:
            return entry
        in_vain += seconds
        if in_vain > limit_s:
            break
    entry.problem = "target not reached"
    return entry


def too_long(rehearsal: Method, factor: float, limit_s: float) -> str:
    """Return why a method is left out, or an empty string.

    Parameters
    ----------
    rehearsal : Method
        The method with a part of the rows.
    factor : float
        The number of all rows ÷ the rows of the part.
    limit_s : float
        Longest acceptable fit of all rows with the coarsest setting, in seconds.
    """
    for _ in range(2):  # the first fit may also import and compile
        try:
            seconds = factor * timed(rehearsal, rehearsal.settings[0])[0]
        except Exception:  # all rows may fit; if not, the contest says why
            return ""
        if seconds <= limit_s:
            return ""
    return f"left out: about {duration(seconds)} a fit"


def contest(
    methods: Iterable[Method],
    excess: Callable[[Sequence[float]], float],
    *,
    target: float,
    rounds: int,
    limit_s: float,
    most_s: float,
    tell: Callable[[str], None],
) -> list[Entry]:
    """Calibrate all methods, then time those that reach the target in alternation.

    Parameters
    ----------
    methods : iterable of Method
    excess : callable
        Returns the relative excess of the loss at weights.
    target : float
        Largest excess of a good fit.
    rounds : int
        Largest number of times that each method is timed.
    limit_s : float
        See `calibrated`.
    most_s : float
        Seconds after which no further round begins; there is at least one round.
    tell : callable
        Called with the name of each method and round.
    """
    began = time.perf_counter()
    entries = []
    for method in methods:
        tell(method.name)
        entries.append(calibrated(method, excess, target, limit_s))
    good = [entry for entry in entries if not entry.problem]
    for number in range(rounds):
        if number and time.perf_counter() - began > most_s:
            break
        tell(f"round {number + 1} of {rounds}")
        for entry in good if number % 2 == 0 else reversed(good):
            entry.seconds.append(timed(entry.method, entry.setting)[0])
    return entries


def table(entries: Iterable[Entry]) -> str:
    """Return the results as Markdown, the fastest first."""
    ranked = sorted(entries, key=lambda e: median(e.seconds) if e.seconds else float("inf"))
    best = min((median(e.seconds) for e in ranked if e.seconds), default=1.0)
    return markdown_text(HEADINGS, [_cells(entry, best) for entry in ranked])


def _cells(entry: Entry, best: float) -> list[str]:
    took = median(entry.seconds) if entry.seconds else None
    tried = entry.method.meaning and entry.first_s
    setting = f"{entry.method.meaning}={entry.setting:g}" if tried else ""
    return [
        entry.method.name,
        duration(took) if took else entry.problem,
        f"{took / best:.2f}" if took else "",
        duration(entry.first_s) if entry.first_s else "",
        f"{entry.excess:.1e}" if entry.excess < float("inf") else "",
        setting,
    ]
