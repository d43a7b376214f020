"""What several machines would take: the model of one, and an all-reduce a step between them.

Each machine holds an equal share of the rows and computes with the same
backend; a step then costs what the share costs, and the exchange of the sums.
What two processes of this machine need for that is measured; a ring of k takes
k − 1 times as long (Patarasuk & Yuan, J. Parallel Distrib. Comput. 69, 2009).
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import names
from backends.names import Name
from backends.problem import step_bytes
from bench.measure.plan import Task
from bench.measure.worker import Children
from bench.pick.observations import measurements
from bench.results.case import Case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.pick.explorer import Explorer
    from bench.pick.model import CostModel
    from bench.pick.recommend import Request
    from bench.results.record import Record

KERNEL = "dask:numpy"
"""Whose steps over `SMALL_ROWS` are measured: all libraries' all-reduce is the same."""

SMALL_ROWS = 1000
"""Few enough that a step is nothing but the exchange."""

SECONDS = 0.2

LONG = 10.0
"""Seconds: a shorter descent needs no second machine."""

MOST_MACHINES = 1 << 20


@dataclass(frozen=True)
class Share:
    """A number of machines, and what each has to do; seconds and bytes."""

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
        What runs on each of them.
    exchange_s : float
        Seconds that two processes here need to add up their sums.
    shares : tuple of Share
        Ever more machines, from the fewest that hold the data.
    pays_from_rows : float or None
        Rows from which two take less time than one; None: never.
    """

    backend: str
    exchange_s: float
    shares: tuple[Share, ...]
    pays_from_rows: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``pick --json``."""
        return asdict(self)


def over_workers(backend: str) -> str | None:
    """Return the distributed backend with this one's kernel; None if there is none."""
    library = Name.parse(backend).library
    for name in names.libraries().values():
        if name.distributed and library in name.techniques:
            return str(Name(name.name, library))
    return None


def installed() -> bool:
    """Whether the exchange can be measured here."""
    library = names.libraries()[Name.parse(KERNEL).library]
    return find_spec(library.imports) is not None


def wanted(model: CostModel, request: Request, *, fits: bool) -> bool:
    """Whether a second machine is worth a thought."""
    return not fits or model.total_s(request.rows, request.iterations) > LONG


def measure_exchange(explorer: Explorer) -> None:
    """Measure the all-reduce of two workers, if it was not before; it joins the record."""
    request = explorer.request
    if exchange_s(explorer.records, request) is not None:
        return
    explorer.claim()
    row = str(_row(request))
    with tempfile.TemporaryDirectory(prefix="descentbench-") as scratch:
        children = Children(
            *(explorer.threads, SECONDS, Path(scratch), explorer.path.with_suffix("")),
            timeout=60.0,
        )
        outcome = children.watched(Task("two workers", "test_step.py", (row,)))
    explorer.record = explorer.record.with_outcome("two workers", outcome)
    explorer.record.save(explorer.path)


def _row(request: Request) -> Case:
    return Case(KERNEL, SMALL_ROWS, request.features, request.dtype)


def exchange_s(records: Iterable[Record], request: Request) -> float | None:
    """Return the seconds of a step of two workers with hardly any rows, if measured."""
    steps = [
        median(m.seconds_per_step)
        for row, m, _ in measurements(records)
        if row == _row(request) and m.kind == "step"
    ]
    return median(steps) if steps else None


def across(model: CostModel, request: Request, exchange: float) -> Machines | None:
    """Return what several machines like this one would take with a loop.

    Parameters
    ----------
    model : CostModel
        Of the backend that runs on each.
    request : Request
    exchange : float
        Seconds of an all-reduce of two.

    Returns
    -------
    Machines or None
        None where no distributed backend has such a kernel.
    """
    backend = over_workers(model.backend)
    if backend is None:
        return None
    fewest = _fewest(model, request)
    shares = tuple(_share(model, request, fewest * k, exchange) for k in (1, 2, 4))
    return Machines(backend, exchange, shares, _pays_from(model, request, exchange))


def _fewest(model: CostModel, request: Request) -> int:
    """Return how many machines hold the data: doubled, then halved to the first that do."""
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
    """Return the rows from which halving them saves more than the exchange costs."""
    grid = np.geomspace(SMALL_ROWS, max(request.rows, 1e9) * 100, 400)
    gains = [model.step_s(n) - model.step_s(n / 2) > exchange for n in grid]
    never = [k for k, gain in enumerate(gains) if not gain]
    first = never[-1] + 1 if never else 0
    return float(grid[first]) if first < len(grid) else None


def sentences(machines: Machines, request: Request) -> list[str]:
    """Say what several machines take, and what was assumed."""
    from bench.pick.answer import rounded
    from bench.show.text import byte_count, count, duration, plural, seconds

    first, *more = machines.shares
    many = f"{count(first.machines)} machine{'s' if first.machines > 1 else ''} like this one"
    each = f"{byte_count(first.needs_bytes, 2)}{' each' if first.machines > 1 else ''}"
    steps = plural(request.iterations, "iteration")
    others = ", ".join(f"{count(s.machines)} in {duration(s.total_s)}" for s in more)
    takes = f"would take {steps} in {duration(first.total_s)}, {others}"
    assumed = (
        f"the sums of two take {seconds(machines.exchange_s)} a step, as measured between two "
        "processes here, and those of k machines k − 1 times that; a network's latency comes "
        "on top"
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
