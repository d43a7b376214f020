"""Recommend a backend for the rows, features and iterations of a request.

`recommend` is a pure function of cost models. If the models cannot tell which of two backends
is faster, the two backends tie. `bench.pick.ties` says which of the two is recommended.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.draws import COVERAGE, Range
from bench.pick.model import CostModel
from bench.pick.near import nearby, only_cached
from bench.pick.ties import choose, plainness
from bench.results.case import SQUARED

FEWEST_ROWS = 100
"""Smallest number of rows at which the total times of the backends are compared."""

NOT_NEAR = "was not measured near this number of rows"
"""Reason shown for a backend that was measured, but at no size near the request's size.

`bench.pick.near` defines which sizes are near.
"""

GRID_POINTS = 160
"""Number of sizes at which totals are compared, from `FEWEST_ROWS` to the request's rows."""


@dataclass(frozen=True)
class Request:
    """The descent for which a backend is to be recommended.

    Attributes
    ----------
    rows, features, iterations : int
    dtype : str
    memory_bytes : dict
        The keys are devices, and ``cpu`` stands for the host. The values are the bytes of
        memory that can be used on each device.
    loop_only : bool
        Whether to recommend only loop techniques, which work for any loss.
    loss : str
        Name of the loss.
    """

    rows: int
    features: int
    iterations: int
    dtype: str
    memory_bytes: Mapping[str, int]
    loop_only: bool = False
    loss: str = SQUARED

    @property
    def data_bytes(self) -> int:
        """Size of X and y in bytes."""
        return step_bytes(self.rows, self.features, self.dtype)


@dataclass(frozen=True)
class Candidate:
    """One backend's line in the table of the answer.

    Fields whose names end in ``_s`` are in seconds. Fields whose names end in ``_bytes`` are in
    bytes. None stands for an unknown value.

    Attributes
    ----------
    reason : str
        Why the backend has no predicted times; empty if it has predicted times.
    fits : bool or None
        Whether `needs_bytes` of memory are available.
    break_even_iterations : float or None
        Number of iterations above which the backend is faster than the simplest backend
        (`Answer.plainest`), see `break_even`.
    bandwidth_fraction : float or None
        Throughput of a step, as a fraction of the throughput of reading the same bytes without
        computing, see `bench.pick.shares`.
    lower_bound : bool
        Whether `step_s` and `total_s` are only lower bounds. This is the case if the backend
        was excluded after steps with data in a cache, which is faster than memory.
    largest_rows : int
        Largest number of rows at which a step was measured.
    """

    backend: str
    available: bool
    reason: str
    fits: bool | None = None
    needs_bytes: int | None = None
    import_s: float | None = None
    place_s: float | None = None
    first_call_s: float | None = None
    setup_s: float | None = None
    step_s: Range | None = None
    total_s: Range | None = None
    break_even_iterations: float | None = None
    bandwidth_fraction: float | None = None
    lower_bound: bool = False
    largest_rows: int = 0

    @property
    def least_squares_only(self) -> bool:
        """Whether the backend works only for squared error."""
        return Name.parse(self.backend).least_squares_only

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``pick --json``."""
        return asdict(self) | {
            "reason": self.reason or None,
            "least_squares_only": self.least_squares_only,
        }


@dataclass(frozen=True)
class Crossover:
    """A number of rows at which the fastest backend changes, and the range that contains it.

    Attributes
    ----------
    rows, low, high : float
        Estimated number of rows, and the ends of its range.
    before, after : str
        Fastest backend below and above this number of rows.
    """

    rows: float
    low: float
    high: float
    before: str
    after: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``pick --json``."""
        bounds = {"rows": self.rows, "low": self.low, "high": self.high}
        return bounds | {"from": self.before, "to": self.after}


@dataclass(frozen=True)
class Answer:
    """The recommended backend, and the predicted times and memory of all backends.

    Attributes
    ----------
    pick : str or None
        The recommended backend; None if no backend was measured completely.
    loop_pick : str or None
        The recommended backend for losses other than squared error; it can be the same as
        `pick`. None if no backend for such losses was measured completely.
    tied : tuple of str
        Backends that cannot be told apart from `pick`, see `bench.pick.ties`.
    loop_tied : tuple of str
        Backends that cannot be told apart from `loop_pick`.
    fits : bool
        Whether the device of `pick` has enough memory for it. If False, no measured backend
        is known to fit in its device's memory.
    candidates : tuple of Candidate
        All backends: first those with a known total by ascending total, then those with only a
        lower bound, then those without predicted times.
    plainest : str
        The backend with the simplest technique, usually ``numpy``. The break-even iterations
        of all candidates refer to this backend. Empty if there are no predicted times.
    """

    request: Request
    pick: str | None
    loop_pick: str | None
    tied: tuple[str, ...]
    fits: bool
    candidates: tuple[Candidate, ...]
    crossovers: tuple[Crossover, ...]
    loop_tied: tuple[str, ...] = ()
    plainest: str = ""

    def of(self, backend: str) -> Candidate:
        """Return the candidate whose backend has this name."""
        return next(c for c in self.candidates if c.backend == backend)


def recommend(
    models: Sequence[CostModel],
    request: Request,
    unavailable: Mapping[str, str],
    fractions: Mapping[str, float | None] | None = None,
    excluded: Collection[str] = (),
) -> Answer:
    """Recommend a backend for a request; return it with the predictions for all backends.

    Parameters
    ----------
    models : sequence of CostModel
        Models of the backends that can run here, in any order.
    request : Request
    unavailable : mapping
        The keys are backends without a complete measurement. The values are the reasons.
    fractions : mapping, optional
        `Candidate.bandwidth_fraction` of each backend.
    excluded : collection of str
        Backends that are certainly not the fastest.
    """
    complete = sorted((m for m in models if m.complete), key=lambda m: plainness(m.backend))
    usable = nearby(complete, request.rows)
    unavailable = {**unavailable, **{m.backend: NOT_NEAR for m in complete if m not in usable}}
    lines = {m.backend: _line(m, request, usable[0], fractions or {}, excluded) for m in usable}
    eligible = [
        m for m in usable if not (request.loop_only and lines[m.backend].least_squares_only)
    ]
    # A backend whose memory is unknown may need as much as one that does not fit.
    scarce = any(lines[m.backend].fits is False for m in eligible)
    enough = (True,) if scarce else (True, None)
    fitting = [m for m in eligible if lines[m.backend].fits in enough]
    pick, tied = choose(fitting or eligible, request.rows, request.iterations)
    loops = [m for m in fitting or eligible if not lines[m.backend].least_squares_only]
    loop_pick, loop_tied = choose(loops, request.rows, request.iterations)
    order = sorted(lines.values(), key=_by_total)
    rest = [Candidate(b, available=False, reason=why) for b, why in unavailable.items()]
    return Answer(
        request,
        pick,
        loop_pick,
        tied,
        bool(fitting),
        (*order, *(c for c in rest if c.backend not in lines)),
        crossovers(fitting or eligible, request),
        loop_tied,
        usable[0].backend if usable else "",
    )


def _by_total(line: Candidate) -> tuple[bool, float]:
    """Return a key that sorts candidates by their total times.

    Candidates whose total is only a lower bound come last.
    """
    return line.lower_bound, line.total_s.median if line.total_s else math.inf


def _line(
    model: CostModel,
    request: Request,
    simplest: CostModel,
    fractions: Mapping[str, float | None],
    excluded: Collection[str],
) -> Candidate:
    needs = model.peak_bytes(request.rows)
    device = Name.parse(model.backend).device
    most = request.memory_bytes.get(device, request.memory_bytes["cpu"])
    return Candidate(
        model.backend,
        available=True,
        reason="",
        fits=None if needs is None else needs <= most,
        needs_bytes=None if needs is None else int(needs),
        import_s=model.import_s,
        place_s=model.place_s(request.rows),
        first_call_s=model.first_call_s(request.rows),
        setup_s=model.setup_s(request.rows),
        step_s=model.step(request.rows),
        total_s=model.total(request.rows, request.iterations),
        break_even_iterations=break_even(model, simplest, request.rows),
        bandwidth_fraction=fractions.get(model.backend),
        lower_bound=model.backend in excluded and only_cached(model, request.rows),
        largest_rows=model.largest,
    )


def break_even(model: CostModel, simplest: CostModel, rows: int) -> float | None:
    """Return the number of iterations above which `model` is faster than `simplest`.

    - 0 if `model` is always faster.
    - None if `model` is never faster.
    - None if `model` is faster only up to some number of iterations, because its setup is
      shorter but its steps take longer.
    """
    more_setup = model.setup_s(rows) - simplest.setup_s(rows)
    gain = simplest.step_s(rows) - model.step_s(rows)
    if more_setup <= 0:
        return 0.0 if gain >= 0 else None
    return more_setup / gain if gain > 0 else None


def crossovers(models: Sequence[CostModel], request: Request) -> tuple[Crossover, ...]:
    """Return the numbers of rows at which the fastest backend changes, in ascending order.

    The search covers the sizes from `FEWEST_ROWS` to the request's number of rows.
    """
    if len(models) < 2 or request.rows <= FEWEST_ROWS:
        return ()
    grid = np.geomspace(FEWEST_ROWS, request.rows, GRID_POINTS)
    totals = np.array([[m.total_s(n, request.iterations) for n in grid] for m in models])
    best = totals.argmin(axis=0)
    found = []
    for i in np.flatnonzero(np.diff(best)):
        a, b = models[best[i]], models[best[i + 1]]
        wins = np.array(
            [
                np.mean(b.totals(n, request.iterations) < a.totals(n, request.iterations))
                for n in grid
            ]
        )
        # The bounds are the last size at which b is faster in at most 10 % of the draws, and
        # the first size at which b is faster in at least 90 % of the draws.
        below, above = wins[: i + 1] <= 1 - COVERAGE, wins[i + 1 :] >= COVERAGE
        low = grid[np.flatnonzero(below)[-1]] if below.any() else grid[0]
        high = grid[i + 1 + np.flatnonzero(above)[0]] if above.any() else grid[-1]
        middle = math.sqrt(grid[i] * grid[i + 1])
        found.append(Crossover(middle, float(low), float(high), a.backend, b.backend))
    return tuple(found)
