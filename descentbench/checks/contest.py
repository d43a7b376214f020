"""Compare the times that several programs take to minimise the same loss over the same data.

A method is a way to minimise the loss. A method has settings from coarse to fine, such as
tolerances from 10⁻² to 10⁻⁸. The settings are tried in this order until the loss of a fit is
close enough to the minimum. Then fits with this setting are timed. The methods are timed
alternately, so that a disturbance of the machine affects all methods.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.show.formats import markdown_text
from bench.show.text import duration

HEADINGS = ("method", "time", "÷ fastest", "first fit", "excess of the loss", "setting")
"""Headings of the table's columns. The "first fit" includes imports and compiling."""


@dataclass(frozen=True)
class Method:
    """A way to fit the data, such as a solver of scikit-learn.

    Attributes
    ----------
    name : str
    fit : callable
        Takes a setting; returns the weights of the features, followed by the intercept.
    settings : sequence of float
        Values of a parameter of the method, such as its tolerance, from coarse to fine.
    meaning : str
        Name of this parameter, such as ``tol``; empty for a method without such a parameter.
    left_out : str
        Why the method is not timed; empty if it is timed.
    """

    name: str
    fit: Callable[[float], Sequence[float]]
    settings: Sequence[float] = (0.0,)
    meaning: str = ""
    left_out: str = ""


@dataclass
class Entry:
    """The result of a method: the setting that was timed, and the times.

    Attributes
    ----------
    method : Method
    setting : float
        The first of ``method.settings`` with which the loss of a fit is close enough to the
        minimum. Without such a setting, the last setting that was tried.
    excess : float
        (loss of the fit with `setting` − minimum) ÷ minimum; infinity before the first fit.
    first_s : float
        Time of the method's first fit in seconds, with imports and compilation; 0 before the
        first fit.
    seconds : list of float
        Times of the timed fits, in seconds.
    problem : str
        Why the method was not timed; empty if it was timed.
    """

    method: Method
    setting: float = 0.0
    excess: float = float("inf")
    first_s: float = 0.0
    seconds: list[float] = field(default_factory=list)
    problem: str = ""


def timed(method: Method, setting: float) -> tuple[float, Sequence[float]]:
    """Run a fit; return its time in seconds and its weights, the intercept last."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns if a setting is too coarse
        began = time.perf_counter()
        weights = method.fit(setting)
    return time.perf_counter() - began, weights


def calibrated(
    method: Method, excess: Callable[[Sequence[float]], float], target: float, limit_s: float
) -> Entry:
    """Find the coarsest setting with which the loss of a fit is close enough to the minimum.

    If no setting is found, the attribute `problem` of the result says why.

    Parameters
    ----------
    method : Method
        If its attribute `left_out` gives a reason, no setting is tried.
    excess : callable
        Takes weights; returns (loss − minimum) ÷ minimum.
    target : float
        Largest value of `excess` that is close enough.
    limit_s : float
        The search ends after this many seconds of unsuccessful fits.
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
    """Return why a method is left out, or "" if a fit of all rows is fast enough.

    The time of a fit of all rows is estimated from a fit of a part of the rows.

    Parameters
    ----------
    rehearsal : Method
        The method for a part of the rows.
    factor : float
        Number of all rows ÷ number of rows of the part.
    limit_s : float
        Longest acceptable time of a fit of all rows, in seconds.
    """
    for _ in range(2):  # the first fit may also import and compile
        try:
            seconds = factor * timed(rehearsal, rehearsal.settings[0])[0]
        except Exception:  # a fit of all rows may succeed; `calibrated` reports its error
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
    """Compare methods: first search a setting for each method, then time the methods.

    A suitable setting brings the loss close enough to the minimum; see `calibrated`. Methods
    without a suitable setting are not timed. A round times each of the remaining methods once.

    Parameters
    ----------
    methods : iterable of Method
    excess, target, limit_s
        See `calibrated`.
    rounds : int
        Largest number of rounds.
    most_s : float
        Seconds after which no further round begins; there is at least one round.
    tell : callable
        Called with a text before each method's search and before each round.
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
    """Return the results as a Markdown table, the fastest method first."""
    ranked = sorted(entries, key=lambda e: median(e.seconds) if e.seconds else float("inf"))
    best = min((median(e.seconds) for e in ranked if e.seconds), default=1.0)
    return markdown_text(HEADINGS, [_cells(entry, best) for entry in ranked])


def _cells(entry: Entry, best: float) -> list[str]:
    """Return the texts of one line; `best` is the fastest method's time in seconds."""
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
