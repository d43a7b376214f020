"""Choose block sizes, layouts and numbers of threads by measurements on this machine.

A technique lists the values to try for each parameter, such as ``block_bytes``. The first value
of each list is the default. The values are timed, and the fastest values are stored in a file.
The key of stored values names the processor, the library's version, the technique's code and
the kind of data (`kind_of`). If the key changes, values are timed again. The record of a run
contains the chosen values.

Nothing is timed if the environment variable ``DESCENTBENCH_TUNE`` is ``off`` or ``known``. With
``off``, the defaults are used. With ``known``, stored values are used, or the defaults if no
values are stored.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path
from statistics import median

from backends import choices
from backends.problem import Problem
from backends.threads import processors

VARIABLE = "DESCENTBENCH_TUNE"

Choice = dict[str, int]
"""A value for each parameter of a technique: ``{"block_bytes": 262144, "threads": 2}``."""

Ranges = Mapping[str, Sequence[int]]
"""The values to try for each parameter of a technique. The first value is the default."""

Trial = tuple[Callable[[], object], Callable[[], AbstractContextManager[object]]]
"""Two functions with which a `Choice` is timed. The first function takes one step of a descent.
The second function returns a context manager. The steps are timed inside this context."""

Place = Callable[[Choice], Trial]
"""A function ``place(choice)`` that prepares data for the values in `choice`, and returns a
`Trial`."""

LEAST_BYTES = 1 << 20
"""Smallest size in bytes of data for which parameters are tuned. With smaller data, a step
consists mostly of function calls, so the parameters matter little."""

TRIAL_BYTES = 1 << 24
"""Largest size in bytes of the data for a timing: 16 MB, more than a core's private caches."""

SECONDS = 0.25
"""Time limit in seconds for all timings in one call of `_fastest` or `_confirmed`. The time
that the preparation of data takes is not counted."""

ROUNDS = 5
"""Largest number of times that each value of a parameter is timed."""

TRIAL_SECONDS = 2e-3
"""Shortest duration in seconds of a timing. A short step is repeated for this time, because the
first step takes up to four times as long while sleeping threads wake up."""

FEWEST = 3
"""A value of a parameter can be chosen only if it was timed at least this many times."""

LEVEL, HOPELESS = 0.95, 1.3
"""`LEVEL`: a default value is replaced by a value that takes less than 95 % of the default's
time. The fastest timings and the median timings must both show this. `HOPELESS`: another value
is not timed again if its fastest time exceeds 1.3 times the fastest time of all values."""

_known: dict[str, Choice] = {}
_here = threading.RLock()


def setting() -> str:
    """Return the environment variable `VARIABLE`: ``on`` (default), ``known`` or ``off``."""
    return os.environ.get(VARIABLE, "on")


def known_at_most() -> str:
    """Return ``off`` if `setting` returns ``off``, and otherwise ``known``."""
    return "off" if setting() == "off" else "known"


def kind_of(technique: str, version: str, problem: Problem, threads: int, source: str) -> str:
    """Return the key under which a choice is stored.

    The key contains the technique, the loss, the number of threads, and the data's features,
    dtype and size. Sizes within a factor of eight share a key. `version` is the library's
    version. `source` is the path of the technique's file; editing this file makes stored
    choices invalid.
    """
    size = 8 ** ((problem.bytes_per_step.bit_length() - 1) // 3)
    return ", ".join(
        (
            f"{technique} {version}",
            f"{_code(source)}",
            f"{problem.features} features of {problem.dtype}",
            problem.loss.name,
            f"{size} bytes",
            f"{threads} threads",
        )
    )


def choose(
    kind: str,
    ranges: Ranges,
    seconds: Callable[[Choice], float],
    *,
    again: Callable[[], None] = lambda: None,
    may_try: bool = True,
) -> Choice:
    """Return the stored parameter values for a kind of data.

    If no values are stored, all values are timed, and the fastest are stored.

    Parameters
    ----------
    kind : str
        The key of the choice, from `kind_of`.
    ranges : mapping
        See `Ranges`. One parameter is varied at a time; the others keep their best value so
        far.
    seconds : callable
        ``seconds(choice)`` returns the time of a step with the values in `choice`.
    again : callable
        ``again()`` makes `seconds` prepare new data. The fastest values are timed again with
        these data.
    may_try : bool
        If false, nothing is timed. If no values are stored, the defaults are returned.
    """
    usual = {name: values[0] for name, values in ranges.items()}
    if setting() == "off" or all(len(values) == 1 for values in ranges.values()):
        return usual
    with _here:
        kind = f"{_machine()}: {kind}"
        if found := _fitting(_known.get(kind), ranges):
            return found
        if not may_try or setting() == "known":
            return _fitting(choices.stored().get(kind), ranges) or usual
        with choices.locked():
            found = _fitting(choices.stored().get(kind), ranges)
            if not found:
                found, settled = _fastest(ranges, seconds)
                if settled and found != usual:
                    again()
                    found, settled = _confirmed(found, usual, seconds)
                if settled:
                    choices.store(kind, found)
        _known[kind] = found
        return dict(found)


def choice_for(
    technique: str,
    version: str,
    problem: Problem,
    threads: int,
    source: str,
    ranges: Ranges,
    place: Place,
) -> Choice:
    """Return the fastest parameter values for a problem; the defaults if the data are small.

    Parameters
    ----------
    technique, version, problem, threads, source
        See `kind_of`. Nothing is timed for a `problem` whose rows can be read only once.
    ranges : mapping
        See `Ranges`.
    place : callable
        See `Place`.
    """
    if problem.bytes_per_step < LEAST_BYTES:
        return {name: values[0] for name, values in ranges.items()}
    kind = kind_of(technique, version, problem, threads, source)
    seconds, again = timed(place)
    return choose(kind, ranges, seconds, again=again, may_try=not problem.single_pass)


def trial_rows(problem: Problem, nbytes: int) -> int:
    """Return the number of rows that take about `nbytes` bytes, but at most all rows."""
    return min(problem.rows, 1 + problem.rows * nbytes // problem.bytes_per_step)


def timed(place: Place) -> tuple[Callable[[Choice], float], Callable[[], None]]:
    """Return two functions, which `choose` takes as its parameters `seconds` and `again`.

    ``seconds(choice)`` returns the median time of a step in seconds. The first call for a
    choice prepares the data, and takes one untimed step, which can compile code.
    ``again()`` releases all prepared data.
    """

    @cache
    def placed(*choice: tuple[str, int]) -> Trial:
        step, around = place(dict(choice))
        with around():
            step()
        return step, around

    def seconds(choice: Choice) -> float:
        step, around = placed(*sorted(choice.items()))
        times: list[float] = []
        with around():
            while sum(times) < TRIAL_SECONDS:
                began = time.perf_counter()
                step()
                times.append(time.perf_counter() - began)
        return median(times)

    return seconds, placed.cache_clear


def _fitting(found: object, ranges: Ranges) -> Choice | None:
    """Return a copy of a stored choice, or None if `ranges` does not list its values."""
    if not isinstance(found, dict) or found.keys() != ranges.keys():
        return None
    if not all(found[name] in values for name, values in ranges.items()):
        return None
    return {name: int(value) for name, value in found.items()}


def _fastest(ranges: Ranges, seconds: Callable[[Choice], float]) -> tuple[Choice, bool]:
    """Find the fastest value of each parameter by timings that end after `SECONDS` in total.

    Returns
    -------
    choice : dict
        The fastest value of every parameter.
    settled : bool
        Whether the default of every parameter was timed at least `FEWEST` times. A parameter
        whose default was timed less often keeps its default.
    """
    best, left, settled = {name: values[0] for name, values in ranges.items()}, SECONDS, True
    for name, values in ranges.items():
        times: dict[int, list[float]] = {value: [] for value in values}
        tried = list(values) if len(values) > 1 else []
        for _ in range(ROUNDS):
            for value in tried:
                if left > 0:
                    times[value].append(seconds(best | {name: value}))
                    left -= max(times[value][-1], TRIAL_SECONDS)
            least = min((min(taken) for taken in times.values() if taken), default=0.0)
            tried = [v for v in tried if times[v] and min(times[v]) <= HOPELESS * least]
            tried += [] if values[0] in tried or not tried else [values[0]]
        enough = {v: taken for v, taken in times.items() if len(taken) >= FEWEST}
        settled = settled and (len(values) == 1 or values[0] in enough)
        fastest = min(enough, key=lambda v: min(enough[v]), default=values[0])
        usual = enough.get(values[0])
        if usual and all(of(enough[fastest]) < LEVEL * of(usual) for of in (min, median)):
            best[name] = fastest
    return best, settled


def _confirmed(
    found: Choice, usual: Choice, seconds: Callable[[Choice], float]
) -> tuple[Choice, bool]:
    """Time a choice and the defaults in turn; return the choice only if it is faster again.

    One comparison is not enough, because the speed of a step also depends on the addresses of
    the data in memory. `_fastest` says what is returned and when the result is settled.
    """
    both = usual, found
    best, settled = _fastest({"number": (0, 1)}, lambda one: seconds(both[one["number"]]))
    return both[best["number"]], settled


@cache
def _code(source: str) -> str:
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()[:8]


@cache
def _machine() -> str:
    """Return the processor's name and the number of CPUs that this process may use."""
    name = platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line for line in lines if line.startswith("model name")).partition(": ")[2]
    return f"{name}, {processors()} processors"
