"""Predict the time of a backend's step, and its error far from the measured sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from backends.names import Name
from bench.pick.curves import Curve, Sample
from bench.pick.throughput import IN_MEMORY
from bench.pick.uncached import Uncached

BETWEEN = 0.15
"""Relative error per decade to the nearest measured size, inside the measured range."""

BEYOND, BEYOND_IN_CACHE = 0.08, 0.5
"""Relative error per decade beyond the largest measured size, in memory and in a cache.

Over data in memory, the time of a step is a straight line fitted to all large sizes. If only
sizes in a cache were measured, the error is larger: the time of larger sizes depends on the
memory's throughput, which is unknown without a read curve.
"""


@dataclass(frozen=True)
class Steps:
    """The time of a backend's step over the rows.

    Attributes
    ----------
    curve : Curve
        Seconds over rows.
    memory_rows : float
        Number of rows from which the data are read from memory.
    beyond : float
        Relative error per decade beyond the largest measured size.
    uncached : Uncached or None
        Additional time of rows beyond the caches, if steps were measured only in caches.
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
        memory_rows: float,
        read_curve: Sequence[tuple[int, float]],
        waiting: float = 0.0,
    ) -> Steps:
        """Fit the curve to measured steps.

        Parameters
        ----------
        backend : str
        samples : sequence of Sample
            Measured steps; at least one.
        row_bytes : int
        memory_rows : float
        read_curve : sequence of tuple
            Bytes and bytes/s; empty if no curve was measured.
        waiting : float
            Share of a step's time that waits for memory, if the data are in memory.
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
        found = Uncached.of(curve.a_row, largest, row_bytes, cache_rows, read_curve)
        return cls(curve, memory_rows, BEYOND if found else BEYOND_IN_CACHE, found)

    def at(self, rows: float) -> float:
        """Return the seconds of a step."""
        return self.curve.at(rows) + (self.uncached.beyond(rows) if self.uncached else 0.0)

    def distance(self, rows: float, more: int = 0) -> tuple[int, float]:
        """Return the number of measurements at the nearest size, and the error due to distance.

        `more` is the number of rows of one further, assumed measurement; 0 for none.
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
        """Return the numbers behind `at` and `distance`, for the report's page."""
        curve = self.curve.points()
        counts = {"counts": self.curve.counts.tolist(), "a_row": self.curve.a_row}
        uncached = asdict(self.uncached) if self.uncached else None
        return {"steps": curve | counts, "beyond": self.beyond, "uncached": uncached}
