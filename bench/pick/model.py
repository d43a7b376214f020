"""Predict a backend's time and memory for n rows and K iterations: the cost model.

The total time of a descent is import + place + first call + K · step. These four times are
predicted from measurements with the user's number of features and dtype:

- **step(n)** is a curve through the measured times that never falls. For data in memory, it is
  a fixed time plus a time per row. Times that were measured while memory was unusually fast or
  slow are corrected first (`bench.pick.throughput`). A step of `gram` reads no rows and takes
  the same time for any n.
- **place(n)** is the time to open the device and to bring the data into the form that the
  backend needs.
- **first call(n)** is the time of a first step, which compiles the code, before the K steps.
- **memory(n)** is the peak memory. Straight lines connect the measured peaks. Beyond the
  measured sizes, each row adds a fixed number of bytes.

Equal work takes different times in two processes. The error of each part is estimated from
these differences. The interval of a total time is computed from random numbers
(`bench.pick.draws`). The numbers stand for these errors, for the changing speed of memory, and
for the changing load of the machine (`bench.pick.drift`).

The report's calculator (``bench/report/calculator.js``) repeats these computations from
`CostModel.as_dict`. Change both files together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any
from zlib import crc32

import numpy as np

from backends.problem import step_bytes
from bench.pick.curves import SLOWEST_COPY, Curve, Overhead, Sample
from bench.pick.draws import DRAWS, Floats, Range, errors_of, range_of, uniforms
from bench.pick.drift import factors
from bench.pick.observations import Observations
from bench.pick.peaks import Peaks
from bench.pick.spread import PRIOR, Spreads, narrowing
from bench.pick.steps import BETWEEN, Steps
from bench.pick.throughput import IN_MEMORY, SEED, drawn

SHARED = 0.15
"""Relative error of a setup time from a process that also measured other backends: 15 %.

The first backend of a process starts threads and loads code that the others share.
"""

FARTHEST = 2.0
"""The error of a setup time grows up to this distance from the nearest measured size.

The distance is the decimal logarithm of the ratio of two numbers of rows, so 2 stands for 100
times as many rows.
"""


@dataclass(frozen=True)
class CostModel:
    """Predicts the times and the peak memory of one backend.

    The total time of a descent can be predicted only if `complete` is True.

    Parameters
    ----------
    backend : str
    observations : Observations
    features : int
    dtype : str
    cache_bytes : int
        Size in bytes of the last-level cache that this machine can use, see
        `bench.pick.regime`.
    spreads : Spreads
        How much the times of equal work differ between processes, see `machine_spreads`.
    states : tuple of float
        Times to read a byte from memory, as multiples of the average time. Each value is
        equally likely. Empty if no reads were timed.
    curve : tuple of tuple
        The read curve: pairs of data size in bytes and throughput in bytes/s. Empty if it was
        not measured.
    drift : float
        Relative change of all times with the load of the machine, see `bench.pick.drift`.
    """

    backend: str
    observations: Observations
    features: int
    dtype: str
    cache_bytes: int = 32 << 20
    spreads: Spreads = PRIOR
    states: tuple[float, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    drift: float = 0.0

    @property
    def _draws(self) -> Floats:
        return errors_of(self.backend)

    @property
    def complete(self) -> bool:
        """Whether a total can be predicted: its parts were measured, and no case failed."""
        seen = self.observations
        return bool(seen.step and seen.place and seen.first_call) and not seen.failure

    @property
    def import_s(self) -> float:
        """Import time of the library; 0 for NumPy, which every backend imports anyway."""
        return median(self.observations.imports or (0.0,))

    @cached_property
    def _steps(self) -> Steps:
        return Steps.of(
            *(self.backend, self.observations.step, self._bytes(1), self.features),
            *(self._memory_rows, self.curve, self.observations.waiting),
        )

    @property
    def _memory_rows(self) -> float:
        """Smallest number of rows whose data are read from memory instead of a cache."""
        return IN_MEMORY * self.cache_bytes / self._bytes(1)

    @property
    def largest(self) -> int:
        """Largest number of rows with which a step was measured; 0 if none was."""
        return max((s.rows for s in self.observations.step), default=0)

    def step_s(self, rows: float) -> float:
        """Return the seconds of a step."""
        return self._steps.at(rows)

    @cached_property
    def _placing(self) -> Curve:
        if self.observations.place_again:
            return Curve.through(self.observations.place_again, self._memory_rows)
        # Opening the device may have taken all the time, so the cost per row is limited.
        first = min(self.observations.place, key=lambda s: (s.rows, s.value))
        a_row = min(first.value / first.rows, self._bytes(1) / SLOWEST_COPY)
        return Curve.through([Sample(n, a_row * n) for n in {1, first.rows}], first.rows)

    @cached_property
    def _opening(self) -> Overhead:
        return Overhead.beside(self._placing, self.observations.place)

    def place_s(self, rows: float) -> float:
        """Return the seconds of placing the data."""
        copying = self._placing.at(rows)
        return self._opening.at(rows, copying) + copying

    @cached_property
    def _compiling(self) -> Overhead:
        return Overhead.beside(self._steps, self.observations.first_call)

    def first_call_s(self, rows: float) -> float:
        """Return the seconds of the first step, compiling included."""
        step = self.step_s(rows)
        return self._compiling.at(rows, step) + step

    def setup_s(self, rows: float) -> float:
        """Return the seconds of the setup: import, placing the data, and first step."""
        return self.import_s + self.place_s(rows) + self.first_call_s(rows)

    def total_s(self, rows: float, iterations: float) -> float:
        """Return the seconds of the whole descent: setup and all steps."""
        return self.setup_s(rows) + iterations * self.step_s(rows)

    @cached_property
    def at_usual_throughput(self) -> CostModel:
        """A copy of this model that assumes that the speed of the machine never changes.

        In the copy, `states` is empty and `drift` is 0, so its intervals are narrower.
        """
        return replace(self, states=(), drift=0.0)

    def _slowed(self, rows: float) -> Floats | float:
        """Return `DRAWS` random factors by which the speed of memory changes a step's time.

        If no reads from memory were timed, the result is the number 1.
        """
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
        """Return an array of `DRAWS` random total times in seconds.

        The seed is fixed, so all calls return the same array.
        """
        z_import, z_place, z_first, z_step = self._draws
        step = self.step_s(rows) * self._slowed(rows)
        total: Floats = (
            self.import_s * np.exp(self._setup_error(rows) * z_import)
            + self.place_s(rows) * np.exp(self._setup_error(rows) * z_place)
            + self.first_call_s(rows) * np.exp(self._setup_error(rows) * z_first)
            + iterations * step * np.exp(self._step_error(rows) * z_step)
        )
        return total * factors(self.drift)

    def expected(self, rows: float, iterations: float) -> Floats:
        """Return `DRAWS` random values of the expected total time, in seconds.

        The expected total time is the mean over many descents. The values show how uncertain
        the model's prediction of this mean is. The results of `totals` are more widely
        scattered, because a single descent also differs from the mean.
        """
        z_import, z_place, z_first, z_step = self._draws
        step, setup = self.mean_errors(rows)
        return np.asarray(
            self.import_s * np.exp(setup * z_import)
            + self.place_s(rows) * np.exp(setup * z_place)
            + self.first_call_s(rows) * np.exp(setup * z_first)
            + iterations * self.step_s(rows) * np.exp(step * z_step)
        )

    def mean_errors(self, rows: float, step: int = 0, setup: int = 0) -> tuple[float, float]:
        """Return the relative errors of the mean step time and of the mean setup time.

        Parameters
        ----------
        rows : float
        step, setup : int
            Number of rows of an additional measurement of a step, or of a setup. The result is
            the error after this imagined measurement. With 0, no measurement is imagined.
        """
        nearest, distance = self._steps.distance(rows, step)
        sizes = np.array([s.rows for s in self.observations.first_call] + [setup] * (setup > 0))
        away = np.abs(np.log10(rows / sizes))
        count = int((away == away.min()).sum())
        far = BETWEEN * min(float(away.min()), FARTHEST)
        shared = SHARED if self.observations.shared and not setup else 0.0
        return (
            math.hypot(self._spreads.step / math.sqrt(nearest), distance),
            math.hypot(self._spreads.setup / math.sqrt(count), far, shared),
        )

    def total(self, rows: float, iterations: float) -> Range:
        """Return the predicted total time of a descent in seconds, with its 90 % interval."""
        return range_of(self.total_s(rows, iterations), self.totals(rows, iterations))

    def step(self, rows: float) -> Range:
        """Return the predicted time of a step in seconds, with its 90 % interval."""
        seconds = self.step_s(rows)
        sigma = self._step_error(rows)
        draws = seconds * self._slowed(rows) * np.exp(sigma * self._draws[3])
        return range_of(seconds, np.asarray(draws * factors(self.drift)))

    def peak_bytes(self, rows: float) -> float | None:
        """Return the peak memory in bytes; None if no peak was measured.

        For a backend on the CPU, the peak is the memory of the whole process. For a backend on
        a GPU, the peak is the memory that the process allocated on the GPU.
        """
        return None if self._peaks is None else self._peaks.at(rows)

    @cached_property
    def _peaks(self) -> Peaks | None:
        seen = self.observations
        if not seen.peak_bytes:
            return None
        return Peaks.of(self.backend, seen.peak_bytes, seen.added_bytes, self._bytes(1))

    def _bytes(self, rows: float) -> int:
        return step_bytes(int(rows), self.features, self.dtype)

    @cached_property
    def _spreads(self) -> Spreads:
        return self.spreads.of(self.observations)

    @property
    def _one_step(self) -> float:
        """Typical relative difference between one process's step time and that of others."""
        return self._spreads.step * narrowing(self._spreads.step_count)

    @property
    def _one_setup(self) -> float:
        """Typical relative difference between one process's setup time and that of others."""
        spread = self._spreads.setup * narrowing(self._spreads.setup_count)
        return math.hypot(spread, SHARED if self.observations.shared else 0.0)

    def _step_error(self, rows: float) -> float:
        """Return the relative error with which a process's step time is predicted."""
        nearest, distance = self._steps.distance(rows)
        return math.hypot(self._one_step * math.sqrt(1 + 1 / nearest), distance)

    def _setup_error(self, rows: float) -> float:
        decades = float(np.abs(np.log10(rows / self._compiling.rows)).min())
        return math.hypot(self._one_setup, BETWEEN * min(decades, FARTHEST))

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers from which the HTML report computes `total` and `peak_bytes`."""
        peaks = self._peaks
        return {
            "backend": self.backend,
            "seed": crc32(self.backend.encode()),
            "import_s": self.import_s,
            "placing": self._placing.points() | {"a_row": self._placing.a_row},
            "opening": self._opening.points(),
            "compiling": self._compiling.points(),
            "spreads": [self._one_step, self._one_setup],
            "drift": self.drift,
            "waiting": self.observations.waiting,
            "states": list(self.states),
            "cache_bytes": self.cache_bytes,
            "peaks": peaks and peaks.points(),
            "bytes_a_row": peaks and peaks.a_row,
            **self._steps.as_dict(),
        }
