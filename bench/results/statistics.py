"""Compute the statistics of a comparison of two runs, old and new.

A run measures each case in several passes, each pass in its own process. A pass counts as one
observation: the logarithm of the median time of a step. The rounds within a pass are not
independent observations, because they run in the same process.

A run has few passes, often three, and a variance cannot be estimated well from three values.
The variance of each case is therefore replaced with a weighted mean of two variances: its own,
and a common variance of all cases. The method is the moderated t statistic of Smyth
(Statistical Applications in Genetics and Molecular Biology 3(1), 2004), with the weights of Law
et al. (Genome Biology 15:R29, 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from bench.results.case import Case
from bench.results.record import Measurement

PROCESSES = 0.02
"""Assumed standard error between processes, as a fraction of the time: 2 %.

It is added to the standard error within a pass. Even if all rounds of a pass take the same
time, the next pass takes a different time, because its process has another memory layout and
runs on other cores.
"""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sides:
    """The step times of one case in all passes of two runs, old and new.

    Attributes
    ----------
    old, new : array
        For each pass of the old run and of the new run: the logarithm of the seconds per step.
        If the two runs alternated, ``old[i]`` and ``new[i]`` were measured together, and
        ``new[i] - old[i]`` is the `shift` of pass i.
    errors : array or None
        Standard error of each pass's `shift`; None if the runs did not alternate.
    """

    old: Floats
    new: Floats
    errors: Floats | None = None

    @classmethod
    def apart(cls, old: Mapping[str, Measurement], new: Mapping[str, Measurement]) -> Sides:
        """Return the step times of a case in two runs that did not alternate.

        The keys of `old` and `new` are the names of child processes, and the values are the
        step times that these processes measured.
        """
        a, b = ([median(m.seconds_per_step) for m in side.values()] for side in (old, new))
        return cls(np.log(a), np.log(b))

    @classmethod
    def in_turn(cls, old: Mapping[str, Measurement], new: Mapping[str, Measurement]) -> Sides:
        """Return the step times of a case in two runs that alternated.

        The keys of `old` and `new` are the names of child processes, and the values are the
        step times that these processes measured. Only names in both mappings are used.
        """
        both = [task for task in old if task in new]
        a = np.log([median(old[task].seconds_per_step) for task in both])
        shifts = np.array([shift(old[task], new[task]) for task in both]).reshape(-1, 2)
        return cls(a, a + shifts[:, 0], shifts[:, 1])

    @property
    def samples(self) -> list[tuple[Floats, Floats]]:
        """Independent samples of a case; each sample is a pair (values, weights).

        If the runs alternated, there is one sample: its values are ``new - old``. Otherwise,
        there are two samples: the values of the first are `new`, and those of the second `old`.
        """
        if self.errors is None:
            return [(side, np.ones_like(side)) for side in (self.new, self.old)]
        return [(self.new - self.old, 1 / (1 + (self.errors / PROCESSES) ** 2))]


def shift(old: Measurement, new: Measurement) -> tuple[float, float]:
    """Return the shift, log(new time ÷ old time), together with the shift's standard error.

    If the rounds alternated, each old round forms a pair with the new round beside it. The
    shift is the median of log(new ÷ old) over the pairs. If the processor becomes slower, both
    rounds of a pair are slower, and their ratio stays about the same. The standard error is
    estimated from the distance of the quartiles, which is 1.35 σ in a normal distribution.

    If the rounds did not alternate, the shift is median(log new) − median(log old). The
    standard error is then unknown, and 0 is returned instead.
    """
    a, b = np.log(old.seconds_per_step), np.log(new.seconds_per_step)
    if not (old.info.get("in_turn") and new.info.get("in_turn") and len(a) == len(b)):
        return float(np.median(b) - np.median(a)), 0.0
    low, middle, high = np.quantile(b - a, [0.25, 0.5, 0.75])
    sigma = (high - low) / 1.35
    return float(middle), float(math.sqrt(math.pi / 2 / len(a)) * sigma)


def typical(logs: Floats) -> float:
    """Return the geometric mean of times, in seconds, from their logarithms."""
    return float(np.exp(logs.mean()))


def moderated(of: Mapping[Case, Sides]) -> tuple[list[Case], Floats, Floats, Floats]:
    """Compute the mean shift of each case, with a moderated standard error.

    A shift is the logarithm of the time ratio new ÷ old.

    Returns
    -------
    cases : list of Case
    shifts, errors, freedom : array
        For each case: the mean shift, its standard error, and the degrees of freedom.
    """
    samples = [sides.samples for sides in of.values()]
    means = [[np.average(x, weights=w) for x, w in some] for some in samples]
    shifts = np.array([m[0] - sum(m[1:]) for m in means])
    freedom = np.array([sum(len(x) - 1.0 for x, _ in some) for some in samples])
    squares = np.array(
        [
            sum((w * (x - m) ** 2).sum() for (x, w), m in zip(some, centre, strict=True))
            for some, centre in zip(samples, means, strict=True)
        ]
    )
    variance = np.maximum(squares / freedom, 1e-12)  # a clock resolves no smaller variance
    scale = np.array([sum(1 / w.sum() for _, w in some) for some in samples])
    common, prior_freedom = _prior(variance, freedom)
    if math.isinf(prior_freedom):
        pooled = np.full_like(variance, common)
    else:
        pooled = (prior_freedom * common + freedom * variance) / (prior_freedom + freedom)
    # No case has more degrees of freedom than all cases together.
    total = np.minimum(freedom + prior_freedom, freedom.sum())
    return list(of), shifts, np.sqrt(pooled * scale), total


def _prior(variance: Floats, freedom: Floats) -> tuple[float, float]:
    """Return the common variance of all cases, and the degrees of freedom of this variance.

    For fewer than three cases, the degrees of freedom are 0, so that each case keeps its own
    variance. The formulas are from Smyth 2004, section 6.2.
    """
    if len(variance) < 3:
        return 1.0, 0.0
    e = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(e.var(ddof=1) - polygamma(1, freedom / 2).mean())
    if excess <= 0:  # the variances differ only by chance
        return float(np.exp(e.mean())), math.inf
    half = _trigamma_inverse(excess)
    return float(np.exp(e.mean() + digamma(half) - np.log(half))), 2 * half


def _trigamma_inverse(value: float) -> float:
    """Return the x with ``polygamma(1, x) = value``, by Newton's method as in Smyth (2004)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def holm(p: Floats) -> Floats:
    """Return p-values adjusted by Holm's step-down method (Scand. J. Statistics 6, 1979)."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    found = np.empty_like(p)
    found[order] = np.minimum(adjusted, 1.0)
    return found
