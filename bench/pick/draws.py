"""Draw random numbers that the JavaScript of the HTML report can reproduce exactly.

The interval of a predicted time is computed from these random numbers. All seeds are fixed, so
every call returns the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
"""Number of random values from which the interval of a predicted time is computed: 2000.

With another seed, the ends of a 90 % interval change by only about 3 %.
"""


def uniforms(seed: int, count: int) -> Floats:
    """Return `count` numbers in (0, 1) from the generator Mulberry32.

    Mulberry32 sends a counter through an integer hash. It is not cryptographically secure.
    """
    a = np.uint32(seed) + np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x6D2B79F5)
    t = (a ^ (a >> 15)) * (a | 1)
    t = (t + (t ^ (t >> 7)) * (t | 61)) ^ t
    return np.asarray(((t ^ (t >> 14)) + 0.5) / 2.0**32)


def student_t4(uniform: Floats) -> Floats:
    """Return the quantiles of Student's t distribution with four degrees of freedom.

    `uniform` contains the probabilities of the quantiles.

    This distribution has more large deviations than the normal distribution. Measured times of
    different processes have large deviations, too. The formula is from Shaw, Sampling Student's
    T distribution, J. Comput. Finance 9(4), 2006.
    """
    alpha = np.sqrt(4 * uniform * (1 - uniform))
    q = np.cos(np.arccos(alpha) / 3) / alpha
    return np.asarray(np.sign(uniform - 0.5) * 2 * np.sqrt(q - 1))


@cache
def errors_of(backend: str) -> Floats:
    """Return an array of shape (4, `DRAWS`) of random numbers for a backend.

    The numbers follow Student's t distribution. Each of the array's rows is for one part of the
    total time: import, placing the data, first call and steps. The seed is computed from the
    backend's name, so two backends have independent numbers.
    """
    uniform = uniforms(crc32(backend.encode()), 4 * DRAWS)
    draws = student_t4(uniform).reshape(4, DRAWS)
    draws.flags.writeable = False
    return draws


COVERAGE = 0.90
"""Probability that an interval holds the true value: 90 %."""


@dataclass(frozen=True)
class Range:
    """A prediction, and the interval that holds the true value with probability `COVERAGE`."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half the width of the interval `low` to `high`, as a fraction of `median`."""
        return (self.high - self.low) / (2 * self.median)


def range_of(centre: float, draws: Floats) -> Range:
    """Return the interval from the 5 % quantile to the 95 % quantile of the draws.

    If the predicted value `centre` lies outside this interval, the interval is extended to it.
    """
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Range(centre, min(centre, float(low)), max(centre, float(high)))


TAIL = 0.02
"""Fraction of the draws that `bounded` clips at each end: the lowest and the highest 2 %."""


def bounded(draws: Floats) -> Floats:
    """Clip the draws to the range from their 2 % quantile to their 98 % quantile.

    Without this limit, a few extreme draws would dominate their mean.
    """
    return np.clip(draws, *np.quantile(draws, [TAIL, 1 - TAIL]))
