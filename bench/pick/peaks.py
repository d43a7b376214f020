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
"""Assumed peak memory of a backend as a multiple of its data, until a peak is measured."""


@dataclass(frozen=True)
class Peaks:
    """The peak memory of a backend as a function of the number of rows.

    Between two measured numbers of rows, the peak is interpolated linearly.

    Attributes
    ----------
    rows, nbytes : (k,) float64
        Measured numbers of rows, and the peak in bytes at each number. Both arrays are
        ascending.
    a_row : float
        Assumed growth of the peak in bytes per row, below the smallest and above the largest
        measured number of rows.
    """

    rows: Floats
    nbytes: Floats
    a_row: float

    @classmethod
    def of(
        cls, backend: str, peaks: Sequence[Sample], added: Sequence[Sample], row_bytes: int
    ) -> Peaks:
        """Fit the peak memory, as a function of the number of rows, to measured peaks.

        Parameters
        ----------
        backend : str
        peaks : sequence of Sample
            Measured peaks in bytes, each from a fresh process; at least one.
        added : sequence of Sample
            Memory in bytes that the backend needed in addition to the data.
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
        """Return the peak memory in bytes for `rows` rows."""
        if self.rows[0] < rows < self.rows[-1]:
            return float(np.interp(rows, self.rows, self.nbytes))
        end = 0 if rows <= self.rows[0] else -1
        away = rows - self.rows[end]
        return float(max(0.0, self.nbytes[end] + away * self.a_row))

    def points(self) -> dict[str, Any]:
        """Return the numbers of rows and the peaks in bytes as lists, for the HTML report."""
        return {"rows": self.rows.tolist(), "bytes": self.nbytes.tolist()}
