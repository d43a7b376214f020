"""Fit monotone curves of seconds over rows through the measured sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from bench.pick.draws import Floats


@dataclass(frozen=True)
class Sample:
    """A measured value at a number of rows, in seconds or bytes.

    Attributes
    ----------
    read_bytes_per_s : float or None
        Throughput of a plain read, in the same process, of as many bytes as the step reads;
        None if no such read was timed.
    """

    rows: int
    value: float
    read_bytes_per_s: float | None = None


def by_rows(samples: Iterable[Sample]) -> tuple[Floats, list[list[float]]]:
    """Return the numbers of rows, (k,), and a list of the values at each; all ascending."""
    groups: dict[int, list[float]] = {}
    for sample in sorted(samples, key=lambda s: (s.rows, s.value)):
        groups.setdefault(sample.rows, []).append(sample.value)
    return np.array(list(groups), dtype=float), list(groups.values())


@dataclass(frozen=True)
class Curve:
    """A monotone curve: the seconds of some work as a function of the number of rows.

    Attributes
    ----------
    rows, seconds : (k,) float64
        Measured sizes, ascending, and the fitted seconds at each size.
    counts : (k,) int64
        Number of measurements at each size.
    a_row : float
        Seconds of each additional row beyond the largest size.
    """

    rows: Floats
    seconds: Floats
    counts: NDArray[np.int64]
    a_row: float

    @classmethod
    def through(cls, samples: Iterable[Sample], straight: float) -> Curve:
        """Fit a monotone curve to the medians of the sizes, with the least relative error.

        At sizes of `straight` rows or more, and always at the largest size, points on a
        straight line replace the medians. The line begins at the latency: the median of the
        smallest size, but at most 90 % of the median of the largest size. The line's slope is
        the median of the seconds per row over all processes at these sizes, because one
        process may read memory at half the throughput of another.
        """
        rows, groups = by_rows(samples)
        counts = np.array([len(g) for g in groups])
        medians = np.array([median(g) for g in groups])
        # A single size cannot separate the latency from the cost of the rows.
        latency = min(medians[0], 0.9 * medians[-1]) if len(rows) > 1 else 0.0
        # The smallest size defines the latency, so it says nothing about the cost of a row.
        far = rows >= max(min(straight, rows[-1]), rows[min(1, len(rows) - 1)])
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
        """Return a constant curve, the median of all values, for work that reads no rows."""
        rows, groups = by_rows(samples)
        counts = np.array([len(g) for g in groups])
        everywhere = median(value for group in groups for value in group)
        return cls(rows, np.full(len(rows), everywhere), counts, 0.0)

    def at(self, rows: float) -> float:
        """Return the seconds for `rows` rows.

        The curve is constant below the smallest size, interpolated between two sizes, and a
        straight line beyond the largest size.
        """
        sizes, seconds = self.rows, self.seconds
        if rows <= sizes[-1]:
            return float(np.exp(np.interp(math.log(rows), np.log(sizes), np.log(seconds))))
        return float(seconds[-1] + self.a_row * (rows - sizes[-1]))

    def beyond_cache(self, straight: float, cache_rows: float, waiting: float) -> Curve:
        """Return the curve with a corrected cost per row beyond the largest size.

        At the measured sizes, the cache kept some rows between two steps. Every row beyond the
        largest size is read from memory and therefore takes longer.

        Parameters
        ----------
        straight : float
            Number of rows from which the data are read from memory.
        cache_rows : float
            Number of rows that the cache keeps between two steps.
        waiting : float
            Fraction of a step's time spent waiting for memory.
        """
        kept = cache_rows / (self.rows[self.rows >= straight] - cache_rows)
        return replace(self, a_row=self.a_row * (1 + waiting * float(np.median(kept))))

    def points(self) -> dict[str, Any]:
        """Return sizes and seconds as lists, for the report's page."""
        return {"rows": self.rows.tolist(), "seconds": self.seconds.tolist()}


class Timed(Protocol):
    """Interface of an object that predicts seconds from a number of rows."""

    def at(self, rows: float) -> float:
        """Return the seconds for `rows` rows."""


@dataclass(frozen=True)
class Overhead:
    """The one-time cost of a placing or first call: its measured time minus a `Curve`.

    Attributes
    ----------
    rows : (k,) float64
        Measured sizes, ascending.
    base : (k,) float64
        Seconds of the curve at these sizes.
    seconds : (k,) float64
        One-time cost at these sizes, in seconds. A cost is negative if the measured time is
        shorter than the curve's.
    """

    rows: Floats
    base: Floats
    seconds: Floats

    @classmethod
    def beside(cls, curve: Timed, samples: Iterable[Sample]) -> Overhead:
        """Compute the overhead: the median at each size, made monotone, minus the curve."""
        rows, groups = by_rows(samples)
        whole = isotonic_regression([median(g) for g in groups]).x
        base = np.array([curve.at(n) for n in rows])
        return cls(rows, base, np.asarray(whole - base))

    def at(self, rows: float, base: float) -> float:
        """Return the one-time cost in seconds; `base` is the curve's value at `rows`.

        Between two measured sizes, the cost changes in proportion to the curve. Outside the
        measured sizes, a positive cost is constant, and a negative cost is proportional to the
        curve.
        """
        i = int(np.searchsorted(self.rows, rows))
        if i in (0, len(self.rows)):
            end = 0 if i == 0 else -1
            cost = float(self.seconds[end])
            return cost if cost >= 0 else cost * base / float(self.base[end])
        low, high = self.base[i - 1 : i + 1]
        if high > low:
            share = (base - low) / (high - low)
        else:
            share = math.log(rows / self.rows[i - 1]) / math.log(
                self.rows[i] / self.rows[i - 1]
            )
        return float(self.seconds[i - 1] + share * (self.seconds[i] - self.seconds[i - 1]))

    def points(self) -> dict[str, Any]:
        """Return the attributes as lists, for the report's page."""
        return {name: getattr(self, name).tolist() for name in ("rows", "base", "seconds")}


SLOWEST_COPY = 1e9
"""Lower bound for the throughput of placing data, in bytes/s: 1 GB/s. The bound applies to a
backend until a process has placed data a second time (`bench.pick.model`)."""
