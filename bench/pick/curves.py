"""Predict seconds from a number of rows, by monotone curves through measured times."""

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
        Bytes per second of a read without computing, timed in the process that timed the value.
        None if no read was timed.
    """

    rows: int
    value: float
    read_bytes_per_s: float | None = None


def by_rows(samples: Iterable[Sample]) -> tuple[Floats, list[list[float]]]:
    """Group the samples: return the numbers of rows, and the list of values at each number.

    The numbers of rows and the values in each list are ascending.
    """
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
        """Fit a monotone curve to the median at each size, with the least relative error.

        At large sizes, a straight line replaces the medians. Large sizes have at least
        `straight` rows. If there is no such size, only the largest size counts as large.

        - At 0 rows, the line has the value `latency`: the median at the smallest size, but at
          most 90 % of the median at the largest size.
        - The line's slope is the median of (seconds − latency) ÷ rows over all measurements at
          large sizes.
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
        """Return a constant curve, for work that takes the same time for any number of rows.

        The curve's value is the median of all measured values.
        """
        rows, groups = by_rows(samples)
        counts = np.array([len(g) for g in groups])
        everywhere = median(value for group in groups for value in group)
        return cls(rows, np.full(len(rows), everywhere), counts, 0.0)

    def at(self, rows: float) -> float:
        """Return the predicted seconds of the work for `rows` rows.

        - Below the smallest measured size, the curve is constant.
        - Between two measured sizes, the curve is interpolated.
        - Beyond the largest measured size, the curve is a straight line.
        """
        sizes, seconds = self.rows, self.seconds
        if rows <= sizes[-1]:
            return float(np.exp(np.interp(math.log(rows), np.log(sizes), np.log(seconds))))
        return float(seconds[-1] + self.a_row * (rows - sizes[-1]))

    def beyond_cache(self, straight: float, cache_rows: float, waiting: float) -> Curve:
        """Return a copy in which the rows beyond the largest measured size take longer.

        Some of the measured rows stayed in the cache from one step to the next. All further
        rows must be read from memory.

        Parameters
        ----------
        straight : float
            Smallest number of rows at which the curve is a straight line. The cache then holds
            only a small part of the rows.
        cache_rows : float
            Number of rows that the cache keeps between two steps.
        waiting : float
            Fraction of a step's time in which the processor waits for memory.
        """
        kept = cache_rows / (self.rows[self.rows >= straight] - cache_rows)
        return replace(self, a_row=self.a_row * (1 + waiting * float(np.median(kept))))

    def points(self) -> dict[str, Any]:
        """Return the numbers of rows and the seconds as lists, for the HTML report."""
        return {"rows": self.rows.tolist(), "seconds": self.seconds.tolist()}


class Timed(Protocol):
    """Interface of an object that predicts the seconds of some work from a number of rows."""

    def at(self, rows: float) -> float:
        """Return the predicted seconds of the work for `rows` rows."""


@dataclass(frozen=True)
class Overhead:
    """The additional seconds that work takes when a process does it for the first time.

    For example, the first step takes longer than later steps, because it compiles code. The
    overhead is the measured time of the first step minus the time of a later step. A curve
    (`Timed`) predicts the time of a later step.

    Attributes
    ----------
    rows : (k,) float64
        Measured numbers of rows, ascending.
    base : (k,) float64
        Seconds of the curve at each number of rows.
    seconds : (k,) float64
        Overhead at each number of rows, in seconds. It is negative if the measured time is
        shorter than the time of the curve.
    """

    rows: Floats
    base: Floats
    seconds: Floats

    @classmethod
    def beside(cls, curve: Timed, samples: Iterable[Sample]) -> Overhead:
        """Compute the overhead at each measured size: the median time minus the curve.

        `samples` are the times of fresh processes. Before the subtraction, the medians are
        changed as little as possible to make them ascending.
        """
        rows, groups = by_rows(samples)
        whole = isotonic_regression([median(g) for g in groups]).x
        base = np.array([curve.at(n) for n in rows])
        return cls(rows, base, np.asarray(whole - base))

    def at(self, rows: float, base: float) -> float:
        """Return the overhead in seconds for `rows` rows.

        - Between two measured sizes, the overhead is interpolated linearly as a function of
          `base`.
        - Outside the measured sizes, a positive overhead is constant. A negative overhead is
          proportional to `base`.

        Parameters
        ----------
        rows : float
        base : float
            Time in seconds that the curve predicts for `rows` rows.
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
        """Return the attributes `rows`, `base` and `seconds` as lists, for the HTML report."""
        return {name: getattr(self, name).tolist() for name in ("rows", "base", "seconds")}


SLOWEST_COPY = 1e9
"""Lower bound for the throughput of copying data to a device, in bytes/s: 1 GB/s.

The bound is used if only the first copy in each process was timed. The first copy takes
longer, because it also opens the device.
"""
