"""The cost model: what a backend needs for n rows and K iterations, and how sure that is.

A total is import + place + first call + K · step, each learnt from
measurements at the user's own features and dtype:

- **step(n)**: a monotone curve through the measured sizes, so that it follows
  the caches. Once the data are read from memory it is a straight line: its
  latency, and the cost a row that all processes at all such sizes agree on,
  at the pace at which this machine usually reads memory (`bench.pick.throughput`).
  A `gram`'s step reads no row, and costs the same everywhere.
- **place(n)**: such a curve of placing again, in the processes that time the
  steps, and an overhead (opening the device) as below.
- **first call(n)**: one step, and an overhead (compiling) that depends on the
  kind of size, hence that of the measured size next to it.
- **memory(n)**: the peaks of fresh processes, on straight lines; beyond them the
  data, and what the backend adds to them a row.

Each has a spread, from the differences between processes; a total's interval
comes from draws of all of them, and of the memory's pace. The draws are the same
in every call, and no sum depends on the order of the measurements.

The report's calculator (``report/model.js``) computes the same from
`CostModel.as_dict`: what changes here changes there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from statistics import median
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.throughput import IN_MEMORY, SEED, Floats, MemoryPace, drawn

COVERAGE = 0.90
"""Of the intervals."""

DRAWS = 2000


STEP_SPREAD, SETUP_SPREAD = 0.15, 0.20
"""Relative spread between processes where too few were measured to tell: 15 %, 20 %."""

PRIOR_COUNT = 4
"""How many measurements the two above are worth."""

BETWEEN = 0.15
"""Relative error a decade away from the next measured size, inside the measured range."""

BEYOND, BEYOND_IN_CACHE = 0.12, 0.5
"""The same a decade beyond the largest: of data in memory, and still in the caches."""

FARTHEST = 2.0
"""Decades beyond which a set-up's error grows no more."""

NEAR = 0.5
"""Decades within which a set-up says something of another size."""

SLOWEST_COPY = 1e9
"""Bytes a second, at which data are placed at the worst, as long as nothing is known."""

CAUTION = 6
"""Times the data, that a backend of which nothing is known may need."""


@dataclass(frozen=True)
class Sample:
    """A figure at a number of rows: seconds, or bytes.

    Attributes
    ----------
    read_bytes_per_s : float or None
        How fast as many bytes were read beside it.
    """

    rows: int
    value: float
    read_bytes_per_s: float | None = None


@dataclass(frozen=True)
class Observations:
    """What was measured of a backend at one number of features and dtype.

    Attributes
    ----------
    imports : tuple of float
        Seconds, one a fresh process of its library.
    place, first_call : tuple of Sample
        Seconds, in a fresh process with cold compile caches.
    place_again : tuple of Sample
        Seconds, in a process that had placed the data before.
    step : tuple of Sample
        Seconds a step: the median of one process.
    peak_bytes : tuple of Sample
        Most memory of a fresh process that placed and took a step.
    added_bytes : tuple of Sample
        What placing and stepping added to a process that held the data.
    failure : str
        Why a row of it failed.
    waiting : float
        Share of a step over data in memory, at the usual pace, that memory takes.
    """

    imports: tuple[float, ...] = ()
    place: tuple[Sample, ...] = ()
    place_again: tuple[Sample, ...] = ()
    first_call: tuple[Sample, ...] = ()
    step: tuple[Sample, ...] = ()
    peak_bytes: tuple[Sample, ...] = ()
    added_bytes: tuple[Sample, ...] = ()
    failure: str = ""
    waiting: float = 0.0

    def at_usual_pace(self, memory: MemoryPace, features: int, dtype: str) -> Observations:
        """Return the steps as they would have been at the memory's usual pace."""
        steps, waiting = [], []
        for sample in self.step:
            nbytes = step_bytes(sample.rows, features, dtype)
            if sample.read_bytes_per_s and memory.holds(nbytes):
                value, share = memory.steady(nbytes, sample.value, sample.read_bytes_per_s)
                sample = Sample(sample.rows, value)
                waiting.append(share)
            steps.append(sample)
        return replace(self, step=tuple(steps), waiting=median(waiting or [0.0]))


@dataclass(frozen=True)
class Range:
    """A prediction and its interval of `COVERAGE`."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half the interval's width, relative to the median."""
        return (self.high - self.low) / (2 * self.median)


@dataclass(frozen=True)
class Curve:
    """Seconds over rows, monotone: what has to be done for every row.

    Attributes
    ----------
    rows, seconds : (k,) float64
        Measured sizes, ascending, and what is expected there.
    counts : (k,) int64
        How many measurements there were.
    a_row : float
        Seconds of every row beyond the largest size.
    """

    rows: Floats
    seconds: Floats
    counts: NDArray[np.int64]
    a_row: float

    @classmethod
    def through(cls, samples: Iterable[Sample], straight: float) -> Curve:
        """Return the monotone curve next to the medians of the sizes, on relative error.

        From `straight` rows on, or the largest size, the medians are replaced by a
        line: one process may read memory at half the pace of the next, in another
        state of the machine, and one size is not enough to tell.
        """
        rows, groups = _by_rows(samples)
        counts = np.array([len(g) for g in groups])
        medians = np.array([median(g) for g in groups])
        latency = min(medians[0], 0.9 * medians[-1])
        far = rows >= min(straight, rows[-1])
        a_row = median(
            max(0.0, value - latency) / n
            for n, group, is_far in zip(rows, groups, far, strict=True)
            if is_far
            for value in group
        )
        medians[far] = latency + a_row * rows[far]
        log = isotonic_regression(np.log(medians), weights=counts).x
        return cls(rows, np.asarray(np.exp(log)), counts, float(a_row))

    @classmethod
    def flat(cls, samples: Iterable[Sample]) -> Curve:
        """Return what takes the same time with any number of rows."""
        rows, groups = _by_rows(samples)
        counts = np.array([len(g) for g in groups])
        everywhere = median(value for group in groups for value in group)
        return cls(rows, np.full(len(rows), everywhere), counts, 0.0)

    def at(self, rows: float) -> float:
        """Return the seconds: between the sizes, or on a straight line beyond the largest."""
        sizes, seconds = self.rows, self.seconds
        if rows <= sizes[-1]:
            return float(np.exp(np.interp(math.log(rows), np.log(sizes), np.log(seconds))))
        return float(seconds[-1] + self.a_row * (rows - sizes[-1]))


@dataclass(frozen=True)
class Overhead:
    """Seconds beside a `Curve`, paid once: those of the measured size next to the asked.

    Attributes
    ----------
    rows, seconds : (k,) float64
        Measured sizes and what is paid there, both ascending.
    """

    rows: Floats
    seconds: Floats

    @classmethod
    def beside(cls, curve: Curve, samples: Iterable[Sample]) -> Overhead:
        """Return what the medians of the sizes are above a curve."""
        rows, groups = _by_rows(samples)
        above = [max(0.0, median(g) - curve.at(n)) for n, g in zip(rows, groups, strict=True)]
        return cls(rows, np.asarray(isotonic_regression(above).x))

    def at(self, rows: float) -> float:
        """Return the seconds."""
        return float(self.seconds[np.abs(np.log(self.rows) - math.log(rows)).argmin()])


@dataclass(frozen=True)
class CostModel:
    """Predictions for one backend; call only what its observations allow (`complete`).

    Parameters
    ----------
    backend : str
    observations : Observations
    features : int
    dtype : str
    cache_bytes : int
        The last cache's size.
    spreads : tuple of float
        This machine's spread of steps and of set-ups, see `machine_spreads`.
    states : tuple of float
        Equally likely times that a read of memory takes, relative to the usual.
    """

    backend: str
    observations: Observations
    features: int
    dtype: str
    cache_bytes: int = 32 << 20
    spreads: tuple[float, float] = (STEP_SPREAD, SETUP_SPREAD)
    states: tuple[float, ...] = ()

    @property
    def _draws(self) -> Floats:
        return errors_of(self.backend)

    @property
    def complete(self) -> bool:
        """Whether there is enough for a total."""
        seen = self.observations
        return bool(seen.step and seen.place and seen.first_call) and not seen.failure

    @property
    def import_s(self) -> float:
        """The library's import; 0 for NumPy, which every backend imports anyway."""
        return median(self.observations.imports or (0.0,))

    @cached_property
    def _steps(self) -> Curve:
        if Name.parse(self.backend).least_squares_only:
            return Curve.flat(self.observations.step)
        return Curve.through(self.observations.step, self._memory_rows)

    @property
    def _memory_rows(self) -> float:
        """Rows from which the data are read from memory."""
        return IN_MEMORY * self.cache_bytes / self._bytes(1)

    @property
    def largest(self) -> int:
        """Most rows whose step was measured; 0 if none."""
        return max((s.rows for s in self.observations.step), default=0)

    def step_s(self, rows: float) -> float:
        """Return the seconds of a step."""
        return self._steps.at(rows)

    @cached_property
    def _placing(self) -> Curve:
        if self.observations.place_again:
            return Curve.through(self.observations.place_again, self._memory_rows)
        # One small size says nothing about a row; all of it may be opening the device.
        first = min(self.observations.place, key=lambda s: (s.rows, s.value))
        a_row = min(first.value / first.rows, self._bytes(1) / SLOWEST_COPY)
        return Curve.through([Sample(n, a_row * n) for n in {1, first.rows}], first.rows)

    @cached_property
    def _opening(self) -> Overhead:
        return Overhead.beside(self._placing, self.observations.place)

    def place_s(self, rows: float) -> float:
        """Return the seconds of placing the data."""
        return self._opening.at(rows) + self._placing.at(rows)

    @cached_property
    def _compiling(self) -> Overhead:
        return Overhead.beside(self._steps, self.observations.first_call)

    def first_call_s(self, rows: float) -> float:
        """Return the seconds of the first step."""
        return self._compiling.at(rows) + self.step_s(rows)

    def setup_s(self, rows: float) -> float:
        """Return import + place + first call."""
        return self.import_s + self.place_s(rows) + self.first_call_s(rows)

    def total_s(self, rows: float, iterations: float) -> float:
        """Return the seconds of the whole descent; grows with rows and iterations."""
        return self.setup_s(rows) + iterations * self.step_s(rows)

    @cached_property
    def at_usual_pace(self) -> CostModel:
        """The same where memory keeps its usual pace: what measuring more can narrow down."""
        return replace(self, states=())

    def _slowed(self, rows: float) -> Floats | float:
        """Return draws of what a step takes by the memory's pace, relative to the usual."""
        if not self.states:
            return 1.0
        most = math.log(IN_MEMORY)
        caches_left = math.log(max(1.0, self._bytes(rows) / self.cache_bytes))
        waiting = self.observations.waiting * min(1.0, caches_left / most)
        return 1 + waiting * (self._slowness - 1)

    @cached_property
    def _slowness(self) -> Floats:
        return drawn(self.states, uniforms(SEED, DRAWS))

    def totals(self, rows: float, iterations: float) -> Floats:
        """Return draws of the total, (`DRAWS`,), the same way in every call."""
        z_import, z_place, z_first, z_step = self._draws
        step = self.step_s(rows) * self._slowed(rows)
        return np.asarray(
            self.import_s * np.exp(self._setup_sigma(rows) * z_import)
            + self.place_s(rows) * np.exp(self._setup_sigma(rows) * z_place)
            + self.first_call_s(rows) * np.exp(self._setup_sigma(rows) * z_first)
            + iterations * step * np.exp(self._step_sigma(rows) * z_step)
        )

    def total(self, rows: float, iterations: float) -> Range:
        """Return the total and its interval, seconds."""
        return _range(self.total_s(rows, iterations), self.totals(rows, iterations))

    def step(self, rows: float) -> Range:
        """Return a step and its interval, seconds."""
        seconds = self.step_s(rows)
        sigma = self._step_sigma(rows)
        draws = seconds * self._slowed(rows) * np.exp(sigma * self._draws[3])
        return _range(seconds, np.asarray(draws))

    def peak_bytes(self, rows: float) -> float | None:
        """Return the most memory that the process, or the device, will hold.

        None if nothing tells. An allocator of a device counts its own, from nothing.
        """
        if self._peaks is None:
            return None
        sizes, peaks = self._peaks
        if sizes[0] < rows < sizes[-1]:
            return float(np.interp(rows, sizes, peaks))
        end = 0 if rows <= sizes[0] else -1
        away = rows - sizes[end]
        return float(max(0.0, peaks[end] + away * self._bytes_a_row))

    @cached_property
    def _peaks(self) -> tuple[Floats, Floats] | None:
        """Sizes, and the most that fresh processes held; it grows with the rows."""
        if not self.observations.peak_bytes:
            return None
        sizes, groups = _by_rows(self.observations.peak_bytes)
        return sizes, np.asarray(np.maximum.accumulate([median(g) for g in groups]))

    @property
    def _bytes_a_row(self) -> float:
        """Bytes that a row more takes: its data, and what placing and stepping add."""
        added = self.observations.added_bytes
        if added:
            largest = max(s.rows for s in added)
            here = median(s.value for s in added if s.rows == largest)
            return self._bytes(1) + here / largest
        if Name.parse(self.backend).device == "cpu":
            return CAUTION * self._bytes(1)
        most = max(self.observations.peak_bytes, key=lambda s: (s.rows, s.value))
        return most.value / most.rows

    def _bytes(self, rows: float) -> int:
        return step_bytes(int(rows), self.features, self.dtype)

    @cached_property
    def _spreads(self) -> tuple[float, float]:
        return _spreads_of([self.observations], self.spreads)

    def _step_sigma(self, rows: float) -> float:
        steps = self._steps
        distances = np.abs(np.log10(rows / steps.rows))
        nearest, away = steps.counts[distances.argmin()], float(distances.min())
        spread = self._spreads[0] * math.sqrt(1 + 1 / nearest)
        if rows <= steps.rows[-1]:
            return math.hypot(spread, BETWEEN * away)
        return math.hypot(spread, (BEYOND if self._in_memory else BEYOND_IN_CACHE) * away)

    @property
    def _in_memory(self) -> bool:
        """Whether the largest measured data were read from memory."""
        return self.largest >= self._memory_rows

    def setup_known(self, rows: float) -> bool:
        """Whether the set-up was measured within `NEAR` of this size.

        Where a descent is few steps, placing and touching the data for the first
        time decide, and far away they are another matter.
        """
        return self._setup_away(rows) <= NEAR

    def _setup_sigma(self, rows: float) -> float:
        away = min(self._setup_away(rows), FARTHEST)
        return math.hypot(self._spreads[1], BETWEEN * away)

    def _setup_away(self, rows: float) -> float:
        """Return the decades to the nearest size whose set-up was measured."""
        return float(np.abs(np.log10(rows / self._compiling.rows)).min())

    def as_dict(self) -> dict[str, Any]:
        """Return what `total` and `peak_bytes` are computed from, for the report's page."""
        peaks = self._peaks
        return {
            "backend": self.backend,
            "seed": crc32(self.backend.encode()),
            "import_s": self.import_s,
            "placing": _points(self._placing) | {"a_row": self._placing.a_row},
            "opening": _points(self._opening),
            "steps": _points(self._steps)
            | {"counts": self._steps.counts.tolist(), "a_row": self._steps.a_row},
            "compiling": _points(self._compiling),
            "spreads": list(self._spreads),
            "waiting": self.observations.waiting,
            "states": list(self.states),
            "cache_bytes": self.cache_bytes,
            "beyond": BEYOND if self._in_memory else BEYOND_IN_CACHE,
            "peaks": peaks and {"rows": peaks[0].tolist(), "bytes": peaks[1].tolist()},
            "bytes_a_row": self._bytes_a_row if peaks else None,
        }


def _points(of: Curve | Overhead) -> dict[str, list[float]]:
    return {"rows": of.rows.tolist(), "seconds": of.seconds.tolist()}


def uniforms(seed: int, count: int) -> Floats:
    """Return numbers in (0, 1) that a page's script can draw, too, bit by bit.

    Mulberry32, a counter through an integer hash; for draws, not for secrets.
    """
    a = np.uint32(seed) + np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x6D2B79F5)
    t = (a ^ (a >> 15)) * (a | 1)
    t = (t + (t ^ (t >> 7)) * (t | 61)) ^ t
    return np.asarray(((t ^ (t >> 14)) + 0.5) / 2.0**32)


def student_t4(uniform: Floats) -> Floats:
    """Return the quantiles of Student's t with four degrees of freedom.

    Heavier tails than the normal's: of a few processes, one is often far off. In
    closed form (Shaw, Sampling Student's T distribution, J. Comput. Finance 9(4), 2006).
    """
    alpha = np.sqrt(4 * uniform * (1 - uniform))
    q = np.cos(np.arccos(alpha) / 3) / alpha
    return np.asarray(np.sign(uniform - 0.5) * 2 * np.sqrt(q - 1))


@cache
def errors_of(backend: str) -> Floats:
    """Return draws of its four parts' errors, (4, `DRAWS`).

    Of its own for each backend: two backends' errors are not the same error.
    """
    uniform = uniforms(crc32(backend.encode()), 4 * DRAWS)
    draws = student_t4(uniform).reshape(4, DRAWS)
    draws.flags.writeable = False
    return draws


def machine_spreads(observations: Iterable[Observations]) -> tuple[float, float]:
    """Return the relative spread between processes of steps and of set-ups, over all backends.

    What a neighbour or the scheduler does to one backend it does to all; a
    backend that was measured once borrows from the others.
    """
    return _spreads_of(observations, (STEP_SPREAD, SETUP_SPREAD))


def _spreads_of(
    observations: Iterable[Observations], prior: tuple[float, float]
) -> tuple[float, float]:
    steps: list[list[float]] = []
    setups: list[list[float]] = []
    for seen in observations:
        steps += _by_rows(seen.step)[1]
        setups += [*_by_rows(seen.place)[1], *_by_rows(seen.first_call)[1], list(seen.imports)]
    return _pooled(steps, prior[0]), _pooled(setups, prior[1])


def _by_rows(samples: Iterable[Sample]) -> tuple[Floats, list[list[float]]]:
    """Group the values by size, both in ascending order."""
    groups: dict[int, list[float]] = {}
    for sample in sorted(samples, key=lambda s: (s.rows, s.value)):
        groups.setdefault(sample.rows, []).append(sample.value)
    return np.array(list(groups), dtype=float), list(groups.values())


def _pooled(groups: Iterable[Sequence[float]], prior: float) -> float:
    """Return the standard deviation of the logarithms within the groups.

    The prior counts as `PRIOR_COUNT` measurements (the mean of the scaled
    inverse-χ² posterior's scale; Gelman et al., Bayesian Data Analysis, 2.6).
    """
    squares, count = PRIOR_COUNT * prior**2, PRIOR_COUNT
    for group in sorted(map(list, groups)):  # a sum's last digit depends on the order
        logs = np.log(sorted(group))
        if len(logs) > 1:
            squares += float(((logs - logs.mean()) ** 2).sum())
            count += len(logs) - 1
    return math.sqrt(squares / count)


def _range(centre: float, draws: Floats) -> Range:
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Range(centre, min(centre, float(low)), max(centre, float(high)))
