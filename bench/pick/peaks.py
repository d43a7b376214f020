"""Predict a backend's peak memory from the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from backends.names import Name
from bench.pick.curves import Sample, by_rows
from bench.pick.draws import Floats

CAUTION = 6
"""Memory that an unmeasured backend is assumed to need, as a multiple of its data."""


@dataclass(frozen=True)
class Peaks:
    """The peak memory of a backend: straight lines through the peaks of fresh processes.

    Attributes
    ----------
    rows, nbytes : (k,) float64
        Measured sizes and peaks, both ascending.
    a_row : float
        Bytes of each additional row beyond the measured sizes.
    """

    rows: Floats
    nbytes: Floats
    a_row: float

    @classmethod
    def of(
        cls, backend: str, peaks: Sequence[Sample], added: Sequence[Sample], row_bytes: int
    ) -> Peaks:
        """Fit the lines to measured peaks.

        Parameters
        ----------
        backend : str
        peaks : sequence of Sample
            Peaks of fresh processes; at least one.
        added : sequence of Sample
            Bytes that placing and stepping added to the bytes of the data.
        row_bytes : int
            Bytes of a row of the data.
        """
        sizes, groups = by_rows(peaks)
        nbytes = np.asarray(np.maximum.accumulate([median(g) for g in groups]))
        if added:
            largest = max(s.rows for s in added)
            a_row = row_bytes + median(s.value for s in added if s.rows == largest) / largest
        elif Name.parse(backend).device == "cpu":
            a_row = float(CAUTION * row_bytes)
        else:
            most = max(peaks, key=lambda s: (s.rows, s.value))
            a_row = most.value / most.rows
        return cls(sizes, nbytes, a_row)

    def at(self, rows: float) -> float:
        """Return the peak memory in bytes."""
        if self.rows[0] < rows < self.rows[-1]:
            return float(np.interp(rows, self.rows, self.nbytes))
        end = 0 if rows <= self.rows[0] else -1
        away = rows - self.rows[end]
        return float(max(0.0, self.nbytes[end] + away * self.a_row))

    def points(self) -> dict[str, Any]:
        """Return sizes and bytes as lists, for the report's page."""
        return {"rows": self.rows.tolist(), "bytes": self.nbytes.tolist()}
