"""Predict the time of a descent on several machines.

All machines hold equal shares of the rows and compute with the same backend. In each step, the
machines add up their gradient sums (an all-reduce). This addition is called the exchange. The
time of a step is the time for one share of the rows plus the time of the exchange.

The exchange is measured between two processes of this machine. Two machines send 2 messages one
after another, and a ring of k machines sends 2 (k − 1) messages (Patarasuk & Yuan, J. Parallel
Distrib. Comput. 69, 2009). So k machines take k − 1 times as long as two machines.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import names
from backends.names import Name
from backends.problem import step_bytes
from bench.measure.plan import Task
from bench.pick.expense import STEP
from bench.pick.known import is_gram
from bench.pick.observations import measurements
from bench.results.case import Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.pick.known import Known
    from bench.pick.model import CostModel
    from bench.pick.recommend import Request
    from bench.results.record import Record

KERNEL = "dask:numpy"
"""Backend with which the exchange of gradient sums between machines is measured.

The exchange takes the same time with every backend.
"""

SMALL_ROWS = 1000
"""Number of rows with which the exchange of gradient sums between two workers is measured.

With so few rows, the exchange takes nearly all of a step's time.
"""

LONG = 10.0
"""Time of a descent, in seconds, above which the time on several machines is predicted, too."""

STAGE_S = 8.0
"""Estimated seconds to start two worker processes and to measure their gradient exchange."""

MOST_MACHINES = 1 << 20
"""Largest number of machines that is tried: 2²⁰, about a million."""


@dataclass(frozen=True)
class Share:
    """Predicted times and memory for a given number of machines.

    `rows` and `needs_bytes` are the rows and the memory of each machine. `exchange_s` is the
    part of each step, in seconds, in which the machines add up their gradient sums. `step_s` is
    the time of a step, exchange included. `total_s` is the time of the whole descent.
    """

    machines: int
    rows: int
    needs_bytes: int
    step_s: float
    exchange_s: float
    total_s: float


@dataclass(frozen=True)
class Machines:
    """The answer for several machines.

    Attributes
    ----------
    backend : str
        Distributed backend that runs on all machines.
    exchange_s : float
        Seconds in which two processes of this machine add up the gradient sums of a step.
    shares : tuple of Share
        Predictions for the smallest number of machines that hold the data, and for twice and
        four times this number.
    pays_from_rows : float or None
        Smallest number of rows at which a step takes less time on two machines than on one.
        None if one machine is always faster.
    """

    backend: str
    exchange_s: float
    shares: tuple[Share, ...]
    pays_from_rows: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``pick --json``."""
        return asdict(self)


def over_workers(backend: str) -> str | None:
    """Return the backend that runs the library of `backend` on several machines.

    For example, the result for ``numba`` is ``dask:numba``. The result is None if there is no
    such backend.
    """
    library = Name.parse(backend).library
    for name in names.libraries().values():
        if name.distributed and library in name.techniques:
            return str(Name(name.name, library))
    return None


def installed() -> bool:
    """Return whether Dask is installed, which is needed to time the exchange of two workers."""
    library = names.libraries()[Name.parse(KERNEL).library]
    return find_spec(library.imports) is not None


def wanted(model: CostModel, request: Request, *, fits: bool) -> bool:
    """Return whether the answer needs the predicted time on several machines.

    This is the case if the data exceed one machine's memory (`fits` is False), or if the
    descent takes longer than `LONG` seconds.
    """
    return not fits or model.total_s(request.rows, request.iterations) > LONG


def missing_s(known: Known, records: Sequence[Record]) -> float:
    """Return the seconds to reserve for measuring the gradient exchange of two workers.

    The result is 0 if this measurement is not needed, not possible, or already made.
    """
    if exchange_s(records, known.request) is not None or not installed():
        return 0.0
    loops = [m for group in known.groups() for m in group if not is_gram(m.backend)]
    if not loops:
        return 0.0
    best = min(loops, key=lambda m: known.total(m).median)
    return STAGE_S if wanted(best, known.request, fits=_fits(best, known.request)) else 0.0


def _fits(model: CostModel, request: Request) -> bool:
    needs = model.peak_bytes(request.rows)
    return needs is None or needs <= request.memory_bytes["cpu"]


def task(request: Request) -> Task:
    """Return the task that times how two workers exchange their gradient sums."""
    return Task("two workers", STEP, (str(_case(request)),))


def _case(request: Request) -> Case:
    return Case(KERNEL, SMALL_ROWS, request.features, request.dtype, request.loss)


def exchange_s(records: Iterable[Record], request: Request) -> float | None:
    """Return the seconds in which two workers exchange the gradient sums of a step.

    The result is None if this time was not measured.
    """
    steps = [
        median(m.seconds_per_step)
        for case, m, _ in measurements(records)
        if case == _case(request) and m.kind == "step"
    ]
    return median(steps) if steps else None


def across(model: CostModel, request: Request, exchange: float) -> Machines | None:
    """Predict the time on several machines like this one.

    Parameters
    ----------
    model : CostModel
        Model of the backend that runs on each machine.
    request : Request
    exchange : float
        Seconds in which two processes of this machine add up the gradient sums of a step.

    Returns
    -------
    Machines or None
        None if there is no distributed backend for the model's library.
    """
    backend = over_workers(model.backend)
    if backend is None:
        return None
    fewest = _fewest(model, request)
    shares = tuple(_share(model, request, fewest * k, exchange) for k in (1, 2, 4))
    return Machines(backend, exchange, shares, _pays_from(model, request, exchange))


def _fewest(model: CostModel, request: Request) -> int:
    """Return the smallest number of machines whose memory is enough for the data."""
    memory = request.memory_bytes["cpu"]

    def holds(machines: int) -> bool:
        return _needs(model, request, machines) <= memory

    most = 1
    while not holds(most) and most < MOST_MACHINES:
        most *= 2
    low, high = most // 2, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _needs(model: CostModel, request: Request, machines: int) -> float:
    rows = -(-request.rows // machines)
    needs = model.peak_bytes(rows)
    return step_bytes(rows, request.features, request.dtype) if needs is None else needs


def _share(model: CostModel, request: Request, machines: int, exchange: float) -> Share:
    rows = -(-request.rows // machines)
    each = exchange * (machines - 1)
    step = model.step_s(rows) + each
    return Share(
        machines,
        rows,
        int(_needs(model, request, machines)),
        step,
        each,
        model.setup_s(rows) + request.iterations * step,
    )


def _pays_from(model: CostModel, request: Request, exchange: float) -> float | None:
    """Return the number of rows from which a step is faster on two machines than on one.

    The result is None if one machine is faster even at the largest number of rows tried.
    """
    grid = np.geomspace(SMALL_ROWS, max(request.rows, 1e9) * 100, 400)
    gains = [model.step_s(n) - model.step_s(n / 2) > exchange for n in grid]
    never = [k for k, gain in enumerate(gains) if not gain]
    first = never[-1] + 1 if never else 0
    return float(grid[first]) if first < len(grid) else None


def in_words(machines: Machines, request: Request) -> list[str]:
    """Return sentences for the user: the time on several machines, and its assumptions."""
    from bench.pick.sentences import rounded
    from bench.show.text import byte_count, count, duration, plural, seconds

    first, *more = machines.shares
    many = f"{count(first.machines)} machine{'s' if first.machines > 1 else ''} like this one"
    each = f"{byte_count(first.needs_bytes, 2)}{' each' if first.machines > 1 else ''}"
    steps = plural(request.iterations, "iteration")
    others = ", ".join(f"{count(s.machines)} in {duration(s.total_s)}" for s in more)
    takes = f"would take {steps} in {duration(first.total_s)}, {others}"
    assumed = (
        f"adding up the sums of two machines takes {seconds(machines.exchange_s)} a step, as "
        "measured between two processes here, and k machines take k − 1 times as long; a "
        "network's latency is not included"
    )
    found = [
        f"Across machines, {machines.backend}: {many} ({each}) {takes}. Assumed: {assumed}."
    ]
    if machines.pays_from_rows is not None and math.isfinite(machines.pays_from_rows):
        found.append(
            f"Two machines take less time a step than one from about "
            f"{rounded(machines.pays_from_rows)} rows on."
        )
    return found
