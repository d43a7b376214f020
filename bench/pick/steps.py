"""Predict the time of a backend's step, and estimate the error of this prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from backends.names import Name
from bench.pick.curves import Curve, Sample
from bench.pick.throughput import IN_MEMORY
from bench.pick.uncached import ONE_PASS, PLAIN, SEVERAL_PASSES, Reads, Uncached

BETWEEN = 0.15
"""Relative error of a time that is predicted from a 10 times larger or smaller size: 15 %.

Beyond the largest measured size, `BEYOND` or `BEYOND_IN_CACHE` is used instead.
"""

BEYOND, BEYOND_IN_CACHE = 0.08, 0.5
"""Relative errors of a step time with 10 times as many rows as were measured: 8 % and 50 %.

- `BEYOND` is used if steps were measured with data larger than the caches. The step time then
  grows linearly with the number of rows.
- `BEYOND` is also used for loop techniques on the CPU if the read curve (the read speed at each
  data size) was measured. The curve shows how much slower memory is than a cache.
- `BEYOND_IN_CACHE` is used in all other cases.
"""

TEMPORARIES = ("numpy", "torch")
"""Libraries whose plain backend, such as ``numpy``, allocates temporary arrays in each step."""


def temporaries(name: Name) -> bool:
    """Return whether a backend's step allocates temporary arrays in the host's memory."""
    return name.library in TEMPORARIES and not name.technique and name.device == "cpu"


SEPARATE_PRODUCTS = ("jax", "jax:loop")
"""Backends that read all rows once for each matrix product, if there are several features.

With one feature, the compiler XLA combines the products, so the rows are read once.
"""


def reads(name: Name, features: int) -> Reads:
    """Return how often a backend's step reads all of its data."""
    if temporaries(name):
        return PLAIN
    several = features > 1 and str(name) in SEPARATE_PRODUCTS
    return SEVERAL_PASSES if several else ONE_PASS


@dataclass(frozen=True)
class Steps:
    """The time of a backend's step as a function of the number of rows.

    Attributes
    ----------
    curve : Curve
        Seconds of a step as a function of the number of rows, through the measured times.
    memory_rows : float
        Smallest number of rows whose data are read from memory instead of a cache.
    beyond : float
        Relative error of the step time at 10 times the largest measured number of rows. At 100
        times this number, the error is twice as large.
    uncached : Uncached or None
        Additional time of a step with data in memory, which is slower than a cache. None if
        the time is unknown, or if steps with data in memory were measured.
    """

    curve: Curve
    memory_rows: float
    beyond: float
    uncached: Uncached | None = None

    @classmethod
    def of(
        cls,
        backend: str,
        samples: Sequence[Sample],
        row_bytes: int,
        features: int,
        memory_rows: float,
        read_curve: Sequence[tuple[int, float]],
        waiting: float = 0.0,
    ) -> Steps:
        """Predict step times for any number of rows from measured step times.

        Parameters
        ----------
        backend : str
        samples : sequence of Sample
            Measured step times in seconds; at least one.
        row_bytes : int
            Bytes of a row of X and y.
        features : int
        memory_rows : float
            See `Steps`.
        read_curve : sequence of tuple
            Pairs of data size in bytes and throughput in bytes/s; empty if not measured.
        waiting : float
            Fraction of a step's time in which the processor waits for memory, if the data are
            larger than the caches.
        """
        name, largest = Name.parse(backend), max(s.rows for s in samples)
        in_memory = largest >= memory_rows
        if name.least_squares_only:
            beyond = BEYOND if in_memory else BEYOND_IN_CACHE
            return cls(Curve.flat(samples), memory_rows, beyond)
        curve = Curve.through(samples, memory_rows)
        if in_memory and name.device == "cpu":
            far = curve.beyond_cache(memory_rows, memory_rows / IN_MEMORY, waiting)
            return cls(far, memory_rows, BEYOND)
        if in_memory or name.device != "cpu":
            return cls(curve, memory_rows, BEYOND if in_memory else BEYOND_IN_CACHE)
        cache_rows = memory_rows / IN_MEMORY
        found = Uncached.of(
            *(curve.a_row, largest, row_bytes, cache_rows, read_curve, reads(name, features))
        )
        return cls(curve, memory_rows, BEYOND if found else BEYOND_IN_CACHE, found)

    def at(self, rows: float) -> float:
        """Return the seconds of a step with `rows` rows."""
        return self.curve.at(rows) + (self.uncached.beyond(rows) if self.uncached else 0.0)

    def distance(self, rows: float, more: int = 0) -> tuple[int, float]:
        """Return how often the nearest size was measured, and the error due to its distance.

        Parameters
        ----------
        rows : float
        more : int
            Number of rows of one imagined measurement, which counts like a real measurement. 0
            stands for no imagined measurement.

        Returns
        -------
        nearest : int
            Number of measurements at the nearest measured size.
        error : float
            Relative error of the step time, caused by the difference between `rows` and the
            nearest measured size.
        """
        sizes, counts = self.curve.rows, self.curve.counts
        if more:
            sizes, counts = np.append(sizes, more), np.append(counts, 1)
        distances = np.abs(np.log10(rows / sizes))
        away, largest = float(distances.min()), float(sizes.max())
        nearest = int(counts[distances == away].sum())
        if rows <= largest:
            return nearest, BETWEEN * away
        if largest >= self.memory_rows:
            return nearest, BEYOND * away
        unmet = self.uncached.error_at(rows) if self.uncached else 0.0
        return nearest, math.hypot(self.beyond * away, unmet)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers from which the report's page computes step times and errors."""
        curve = self.curve.points()
        counts = {"counts": self.curve.counts.tolist(), "a_row": self.curve.a_row}
        uncached = asdict(self.uncached) if self.uncached else None
        return {"steps": curve | counts, "beyond": self.beyond, "uncached": uncached}
