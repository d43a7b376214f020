"""Faster, slower, the same, or can't tell: two runs held against each other.

What varies is the process: its samples share memory layout, placement and
neighbours, so a pass of a row counts as one observation, the logarithm of its
median. Runs that were taken in turn are compared pass by pass and round by round,
and a pass whose rounds disagree weighs less. Few passes make a poor variance; it
is drawn towards what the other rows show, as is done for thousands of genes with
three samples each: the moderated t of Smyth (Statistical Applications in Genetics
and Molecular Biology 3(1), 2004), with weights (Law et al., Genome Biology 15:R29,
2014), here against a difference that matters (McCarthy & Smyth, Bioinformatics
25(6), 2009), with Holm's correction for many comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma
from scipy.stats import t as student

from bench.host.machine import identity
from bench.results.case import Case
from bench.results.record import Measurement, Record, RecordError
from bench.results.summary import UNSTABLE, instability, summarise

Verdict = Literal["faster", "slower", "same", "can't tell", "failed"]

LEVEL = 0.05
"""Of all verdicts of a comparison together: so often one is wrong where nothing changed."""

MATTERS = 0.02
"""A change has to be larger than 2 % to be called one."""

SAME = 0.05
"""Where the whole interval lies within ±5 %, nothing changed that one would notice."""

PROCESSES = 0.02
"""What a pass may be off by however well its rounds agree: memory layout, placement."""

FEWEST_PASSES = 2
"""Of each run; one says nothing of its own spread."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """One row in both runs.

    Attributes
    ----------
    old_s, new_s : float or None
        Seconds a step: the geometric mean of the passes' medians; old × ratio.
    ratio, low, high : float or None
        New over old, and its interval of 95 %.
    p : float or None
        Holm's, of a change beyond `MATTERS`.
    reason : str
        Why it can't be told, or failed.
    """

    row: Case
    verdict: Verdict
    old_s: float | None = None
    new_s: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``compare --json``."""
        return {
            **asdict(self.row),
            **asdict(self),
            "row": str(self.row),
            "reason": self.reason or None,
        }


def passes(record: Record, right: set[Case]) -> dict[Case, dict[str, Measurement]]:
    """Return, for every row that was right, its steps in each process."""
    found: dict[Case, dict[str, Measurement]] = {}
    for task, outcome in record.tasks.items():
        for m in outcome.measurements:
            if m.kind == "step" and (row := Case.parse(m.row)) in right:
                found.setdefault(row, {})[task] = m
    return found


@dataclass(frozen=True)
class Sides:
    """One row's passes in both runs.

    Attributes
    ----------
    old, new : array
        Logarithms of seconds a step. Of passes that were taken in turn they belong
        together: new is old and what the pass says of the difference.
    errors : array or None
        Of passes in turn, each difference's standard error, as its rounds tell.
    """

    old: Floats
    new: Floats
    errors: Floats | None = None

    @classmethod
    def apart(cls, old: Mapping[str, Measurement], new: Mapping[str, Measurement]) -> Sides:
        """Take all passes of two runs that know nothing of each other."""
        a, b = ([median(m.seconds_per_step) for m in side.values()] for side in (old, new))
        return cls(np.log(a), np.log(b))

    @classmethod
    def in_turn(cls, old: Mapping[str, Measurement], new: Mapping[str, Measurement]) -> Sides:
        """Take the passes that both have."""
        both = [task for task in old if task in new]
        a = np.log([median(old[task].seconds_per_step) for task in both])
        shifts = np.array([shift(old[task], new[task]) for task in both]).reshape(-1, 2)
        return cls(a, a + shifts[:, 0], shifts[:, 1])

    @property
    def samples(self) -> list[tuple[Floats, Floats]]:
        """What varies, and how much each value of it weighs."""
        if self.errors is None:
            return [(side, np.ones_like(side)) for side in (self.new, self.old)]
        return [(self.new - self.old, 1 / (1 + (self.errors / PROCESSES) ** 2))]


def shift(old: Measurement, new: Measurement) -> tuple[float, float]:
    """Return the logarithm of new ÷ old in a pass, and its standard error.

    Of rounds in turn, the median over the pairs. A core that is slow for a second is
    slow for both rounds of a pair; where it changes between the two, that pair is
    off, and the median heeds it little. Its error comes from the quartiles (the
    normal's lie 1.35 σ apart). Of other rounds it is not known, and 0.
    """
    a, b = np.log(old.seconds_per_step), np.log(new.seconds_per_step)
    if not (old.info.get("in_turn") and new.info.get("in_turn") and len(a) == len(b)):
        return float(np.median(b) - np.median(a)), 0.0
    low, middle, high = np.quantile(b - a, [0.25, 0.5, 0.75])
    sigma = (high - low) / 1.35
    return float(middle), float(math.sqrt(math.pi / 2 / len(a)) * sigma)


def differences(old: Record, new: Record) -> list[str]:
    """Say what makes two records unlike: machine, schema, what they measured."""
    found = []
    if identity(old.machine) != identity(new.machine):
        found.append("they are of different machines, or numbers of threads")
    kinds = [{Case.parse(r).dtype for r in record.request["rows"]} for record in (old, new)]
    if not kinds[0] & kinds[1]:
        a, b = (", ".join(sorted(kind)) for kind in kinds)
        found.append(f"they are of different dtypes, {a} and {b}")
    if old.request.get("seconds") != new.request.get("seconds"):
        found.append("they sampled each row for different times")
    return found


def compare(old: Record, new: Record) -> list[Comparison]:
    """Compare all rows that both records hold, in the order of the table.

    Raises
    ------
    RecordError
        They have no row in common.
    """
    was, now = ({r.row: r for r in summarise(record)} for record in (old, new))
    before, after = (
        passes(record, {row for row, result in results.items() if result.verified})
        for record, results in ((old, was), (new, now))
    )
    failed = {row: result.reason for row, result in now.items() if not result.verified}
    asked = [Case.parse(text) for text in old.request["rows"]]
    rows = [row for row in asked if row in before and (row in after or row in failed)]
    if not rows:
        raise RecordError("the two results have no row in common: nothing to compare")
    beside = bool(old.beside) and old.beside == new.beside
    sides = Sides.in_turn if beside else Sides.apart
    found = judge({row: sides(before[row], after[row]) for row in rows if row in after})
    if not beside:  # in turn, what shook both is not in the difference
        found = {
            row: _doubted(c, max(was[row].spread, now[row].spread)) for row, c in found.items()
        }
    lost = {
        row: Comparison(row, "failed", reason=failed[row]) for row in rows if row not in after
    }
    return [(found | lost)[row] for row in sorted(rows, key=_order)]


def _doubted(comparison: Comparison, spread: float) -> Comparison:
    """Take a verdict back where a time is unstable by more than it changed."""
    change = abs((comparison.ratio or 1.0) - 1)
    if spread <= max(UNSTABLE, change):
        return comparison
    reason = comparison.reason or f"unstable {instability(spread)}"
    return replace(comparison, verdict="can't tell", reason=reason)


def undecided(old: Record, new: Record) -> set[Case]:
    """Return the rows whose ratio is not known to ±`SAME`: further passes may tell.

    The interval's width decides, not where it lies: to measure until a change shows
    would find changes that are none.
    """
    try:
        found = compare(old, new)
    except RecordError:  # everything failed in one of them
        return set()
    return {c.row for c in found if c.verdict != "failed" and not _narrow(c)}


def _narrow(found: Comparison) -> bool:
    if found.low is None or found.high is None:
        return False
    return found.high <= found.low * (1 + SAME) ** 2


def judge(of: Mapping[Case, Sides]) -> dict[Case, Comparison]:
    """Judge rows by their passes, together.

    Where the passes were taken in turn, each is held against the one beside it:
    a machine that is slow for a minute is slow for both.
    """
    enough = {r: s for r, s in of.items() if min(len(s.old), len(s.new)) >= FEWEST_PASSES}
    found = {
        row: Comparison(
            row,
            "can't tell",
            old_s=_typical(sides.old),
            new_s=_typical(sides.new),
            ratio=_typical(sides.new) / _typical(sides.old),
            reason=f"needs {FEWEST_PASSES} passes or more in both",
        )
        for row, sides in of.items()
        if row not in enough
    }
    if not enough:
        return found
    rows, shifts, errors, freedom = _moderated(enough)
    beyond = np.abs(shifts) - math.log1p(MATTERS)
    # Both tails of "not beyond ±MATTERS": the nearer border is what counts.
    p_each = student.sf(beyond / errors, freedom) + student.sf(
        (np.abs(shifts) + math.log1p(MATTERS)) / errors, freedom
    )
    holm = _holm(np.minimum(p_each, 1.0))
    reach = student.ppf(0.975, freedom) * errors
    for row, change, width, p in zip(rows, shifts, reach, holm, strict=True):
        low, high = math.exp(change - width), math.exp(change + width)
        verdict: Verdict = "can't tell"
        if p < LEVEL:
            verdict = "slower" if change > 0 else "faster"
        elif low >= 1 / (1 + SAME) and high <= 1 + SAME:
            verdict = "same"
        old_s = _typical(enough[row].old)
        found[row] = Comparison(
            row,
            verdict,
            old_s=old_s,
            new_s=old_s * math.exp(change),
            ratio=math.exp(change),
            low=low,
            high=high,
            p=float(p),
        )
    return found


def _typical(logs: Floats) -> float:
    """Return the geometric mean over the passes, seconds."""
    return float(np.exp(logs.mean()))


def _moderated(of: Mapping[Case, Sides]) -> tuple[list[Case], Floats, Floats, Floats]:
    """Return rows, shifts of the mean, their moderated standard errors and freedom."""
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
    variance = np.maximum(squares / freedom, 1e-12)  # a clock's last digit
    scale = np.array([sum(1 / w.sum() for _, w in some) for some in samples])
    prior, prior_freedom = _prior(variance, freedom)
    if math.isinf(prior_freedom):
        pooled = np.full_like(variance, prior)
    else:
        pooled = (prior_freedom * prior + freedom * variance) / (prior_freedom + freedom)
    # No more freedom than all rows have together.
    total = np.minimum(freedom + prior_freedom, freedom.sum())
    return list(of), shifts, np.sqrt(pooled * scale), total


def _prior(variance: Floats, freedom: Floats) -> tuple[float, float]:
    """Return the variance that all rows are drawn to, and how many degrees it is worth.

    Smyth 2004, section 6.2: the logarithms' mean and variance, matched to those
    of a scaled F distribution.
    """
    if len(variance) < 3:
        return 1.0, 0.0
    e = np.log(variance) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(e.var(ddof=1) - polygamma(1, freedom / 2).mean())
    if excess <= 0:  # no more different from each other than chance makes them
        return float(np.exp(e.mean())), math.inf
    half = _trigamma_inverse(excess)
    return float(np.exp(e.mean() + digamma(half) - np.log(half))), 2 * half


def _trigamma_inverse(value: float) -> float:
    """Solve ``polygamma(1, x) = value`` by Newton's method on 1/trigamma (Smyth's appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def _holm(p: Floats) -> Floats:
    """Return Holm's step-down adjusted p (Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    found = np.empty_like(p)
    found[order] = np.minimum(adjusted, 1.0)
    return found


def slower_than(comparisons: Iterable[Comparison], limit: float) -> list[Comparison]:
    """Return those that are slower for certain, and by more than `limit` (0.1: 10 %)."""
    return [
        c
        for c in comparisons
        if c.verdict == "failed"
        or (c.verdict == "slower" and c.ratio is not None and c.ratio > 1 + limit)
    ]


def versions_changed(old: Record, new: Record) -> list[str]:
    """Name the packages whose versions differ: ``torch 2.12 → 2.13``."""
    before, after = old.machine["versions"], new.machine["versions"]
    return [
        f"{name} {before.get(name, 'missing')} → {after.get(name, 'missing')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def tally(comparisons: Sequence[Comparison]) -> str:
    """Count the verdicts in a line."""
    order: tuple[Verdict, ...] = ("slower", "faster", "same", "can't tell", "failed")
    counts = {v: sum(c.verdict == v for c in comparisons) for v in order}
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)


def _order(row: Case) -> tuple[object, ...]:
    return row.features, row.rows, row.dtype, row.backend
