"""Make random draws that the script of the report's page can repeat exactly.

A total's interval comes from draws of the errors of its parts. The functions of this module and
of the page's script return the same draws in every call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
"""Number of draws of a total. With 2000, the ends of a 90 % interval vary by about 3 %."""


def uniforms(seed: int, count: int) -> Floats:
    """Return `count` numbers in (0, 1) from the generator Mulberry32.

    Mulberry32 sends a counter through an integer hash. The generator is not
    cryptographically secure.
    """
    a = np.uint32(seed) + np.arange(1, count + 1, dtype=np.uint32) * np.uint32(0x6D2B79F5)
    t = (a ^ (a >> 15)) * (a | 1)
    t = (t + (t ^ (t >> 7)) * (t | 61)) ^ t
    return np.asarray(((t ^ (t >> 14)) + 0.5) / 2.0**32)


def student_t4(uniform: Floats) -> Floats:
    """Return the quantiles of Student's t, four degrees of freedom, at these probabilities.

    This distribution has heavier tails than the normal distribution. Measured times have such
    tails, too: one of a few processes is often much slower or faster than the others. The
    closed form is from Shaw, Sampling Student's T distribution, J. Comput. Finance 9(4), 2006.
    """
    alpha = np.sqrt(4 * uniform * (1 - uniform))
    q = np.cos(np.arccos(alpha) / 3) / alpha
    return np.asarray(np.sign(uniform - 0.5) * 2 * np.sqrt(q - 1))


@cache
def errors_of(backend: str) -> Floats:
    """Return draws of the errors of import, place, first call and step, (4, `DRAWS`).

    The errors are standardised: the cost model multiplies them by the relative error of each
    part. The backend's name is the seed, so the errors of two backends are independent.
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
        """Half the interval's width, relative to the median."""
        return (self.high - self.low) / (2 * self.median)


def range_of(centre: float, draws: Floats) -> Range:
    """Return the central `COVERAGE` interval of the draws, extended to contain the centre."""
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Range(centre, min(centre, float(low)), max(centre, float(high)))


TAIL = 0.02
"""Fraction of the draws that `bounded` clips at each end: 2 %."""


def bounded(draws: Floats) -> Floats:
    """Return the draws clipped at both ends, so that extreme draws do not dominate the mean."""
    return np.clip(draws, *np.quantile(draws, [TAIL, 1 - TAIL]))
