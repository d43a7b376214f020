"""Compare a new run with an old run: each case is faster, slower, same, or can't tell.

A case is called slower or faster if a statistical test shows that its time has changed by more
than `MATTERS`. The test is that of McCarthy & Smyth (Bioinformatics 25(6), 2009). Holm's
correction makes false alarms rare even with many cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

from bench.host.machine import identity
from bench.results.case import Case
from bench.results.record import Measurement, Record, RecordError
from bench.results.statistics import Sides, holm, moderated, typical
from bench.results.summary import UNSTABLE, instability, summarise

Verdict = Literal["faster", "slower", "same", "can't tell", "failed"]

LEVEL = 0.05
"""Largest probability that a comparison of unchanged code reports a change: 5 %."""

MATTERS = 0.02
"""Smallest change that is called faster or slower, as a fraction of the time: 2 %."""

SAME = 0.05
"""A case is called "same" if the confidence interval of its time ratio new ÷ old lies between
1 ÷ 1.05 and 1.05."""

FEWEST_PASSES = 2
"""If a run measured a case in fewer processes than this number, the verdict is "can't tell"."""


@dataclass(frozen=True)
class Comparison:
    """The verdict on one case of two runs, old and new.

    A figure is None if the case failed, or was measured too few times for this figure.

    Attributes
    ----------
    old_s : float or None
        Seconds per step in the old run: the geometric mean of the passes' medians.
    new_s : float or None
        Seconds per step in the new run, computed as `old_s` × `ratio`.
    ratio, low, high : float or None
        Time ratio new ÷ old, and its 95 % confidence interval.
    p : float or None
        p-value, adjusted by Holm's method. The null hypothesis is that the time has changed by
        at most 2 %.
    reason : str
        Why the verdict is "can't tell" or "failed"; "" if no further reason is known.
    """

    case: Case
    verdict: Verdict
    old_s: float | None = None
    new_s: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of this case in the output of ``compare --json``."""
        fields = asdict(self)
        fields.pop("case")
        return {
            **asdict(self.case),
            "row": str(self.case),
            **fields,
            "reason": self.reason or None,
        }


def passes(record: Record, verified: set[Case]) -> dict[Case, dict[str, Measurement]]:
    """Return the step timings of the verified cases of a record.

    The keys of the result are the cases. Each value is another dict: its keys are the names of
    child processes, and its values are the step timings that these processes measured.
    """
    found: dict[Case, dict[str, Measurement]] = {}
    for task, outcome in record.tasks.items():
        for m in outcome.measurements:
            if m.kind == "step" and (case := Case.parse(m.row)) in verified:
                found.setdefault(case, {})[task] = m
    return found


def differences(old: Record, new: Record) -> list[str]:
    """Return the reasons why two records should not be compared; empty if there is none."""
    found = []
    if identity(old.machine) != identity(new.machine):
        found.append("the results are of different machines or numbers of threads")
    kinds = [{Case.parse(r).dtype for r in record.request["rows"]} for record in (old, new)]
    if not kinds[0] & kinds[1]:
        a, b = (", ".join(sorted(kind)) for kind in kinds)
        found.append(f"the results are of different dtypes, {a} and {b}")
    losses = [{Case.parse(r).loss for r in record.request["rows"]} for record in (old, new)]
    if not losses[0] & losses[1]:
        a, b = (", ".join(sorted(some)) for some in losses)
        found.append(f"the results are of different losses, {a} and {b}")
    if old.request.get("seconds") != new.request.get("seconds"):
        found.append("the two runs sampled each case for different times")
    return found


def compare(old: Record, new: Record) -> list[Comparison]:
    """Compare all cases that both records contain, ordered by size and backend.

    Raises
    ------
    RecordError
        The records have no case in common.
    """
    was, now = ({r.case: r for r in summarise(record)} for record in (old, new))
    before, after = (
        passes(record, {case for case, result in results.items() if result.verified})
        for record, results in ((old, was), (new, now))
    )
    failed = {case: result.reason for case, result in now.items() if not result.verified}
    asked = [Case.parse(text) for text in old.request["rows"]]
    cases = [case for case in asked if case in before and (case in after or case in failed)]
    if not cases:
        raise RecordError("the two results have no case in common: nothing to compare")
    alternated = bool(old.beside) and old.beside == new.beside
    sides = Sides.in_turn if alternated else Sides.apart
    found = judge({case: sides(before[case], after[case]) for case in cases if case in after})
    if not alternated:  # alternation cancels common disturbances
        found = {
            case: _doubted(c, max(was[case].spread, now[case].spread))
            for case, c in found.items()
        }
    lost = {
        case: Comparison(case, "failed", reason=failed[case])
        for case in cases
        if case not in after
    }
    return [(found | lost)[case] for case in sorted(cases, key=_order)]


def _doubted(comparison: Comparison, spread: float) -> Comparison:
    """Replace the verdict by "can't tell" if `spread` exceeds both `UNSTABLE` and the change.

    `spread` says how much the times vary, as a fraction of the time. The change is
    |new ÷ old − 1|.
    """
    change = abs((comparison.ratio or 1.0) - 1)
    if spread <= max(UNSTABLE, change):
        return comparison
    reason = comparison.reason or f"unstable {instability(spread)}"
    return replace(comparison, verdict="can't tell", reason=reason)


def unclear(records: Sequence[Record]) -> set[Case]:
    """Return the cases that must be measured again.

    For one record, these are the cases with an unstable time. For two records, see `undecided`.
    """
    if len(records) == 2:
        return undecided(*records)
    return {
        result.case for record in records for result in summarise(record) if result.unstable
    }


def undecided(old: Record, new: Record) -> set[Case]:
    """Return the cases whose time ratio new ÷ old is uncertain by more than ±5 % (`SAME`).

    Only the width of the confidence interval matters, not the ratio.
    """
    try:
        found = compare(old, new)
    except RecordError:  # every case failed in one run
        return set()
    return {c.case for c in found if c.verdict != "failed" and not _narrow(c)}


def _narrow(found: Comparison) -> bool:
    if found.low is None or found.high is None:
        return False
    return found.high <= found.low * (1 + SAME) ** 2


def judge(of: Mapping[Case, Sides]) -> dict[Case, Comparison]:
    """Return the comparison of the old and the new run for each case.

    The variance of a case is estimated with the help of all other cases; see `moderated`.
    """
    enough = {c: s for c, s in of.items() if min(len(s.old), len(s.new)) >= FEWEST_PASSES}
    found = {case: _too_few(case, sides) for case, sides in of.items() if case not in enough}
    if not enough:
        return found
    cases, shifts, errors, freedom = moderated(enough)
    beyond = np.abs(shifts) - math.log1p(MATTERS)
    # Two-sided p-value if the true change were exactly +MATTERS or −MATTERS.
    p_each = student.sf(beyond / errors, freedom) + student.sf(
        (np.abs(shifts) + math.log1p(MATTERS)) / errors, freedom
    )
    adjusted = holm(np.minimum(p_each, 1.0))
    reach = student.ppf(0.975, freedom) * errors
    for case, change, width, p in zip(cases, shifts, reach, adjusted, strict=True):
        old_s = typical(enough[case].old)
        low, high = math.exp(change - width), math.exp(change + width)
        found[case] = Comparison(
            case,
            _verdict(change, low, high, p),
            old_s=old_s,
            new_s=old_s * math.exp(change),
            ratio=math.exp(change),
            low=low,
            high=high,
            p=float(p),
        )
    return found


def _verdict(change: float, low: float, high: float, p: float) -> Verdict:
    if p < LEVEL:
        return "slower" if change > 0 else "faster"
    if low >= 1 / (1 + SAME) and high <= 1 + SAME:
        return "same"
    return "can't tell"


def _too_few(case: Case, sides: Sides) -> Comparison:
    """Return a comparison without an interval, for a case that few processes measured."""
    old_s, new_s = typical(sides.old), typical(sides.new)
    reason = f"needs {FEWEST_PASSES} passes or more in both runs"
    return Comparison(case, "can't tell", old_s, new_s, new_s / old_s, reason=reason)


def slower_than(comparisons: Iterable[Comparison], limit: float) -> list[Comparison]:
    """Return the cases that failed, or that have the verdict "slower" and exceed the limit.

    `limit` is a fraction of the old time. For example, 0.1 selects the cases whose step takes
    over 10 % longer than before.
    """
    return [
        c
        for c in comparisons
        if c.verdict == "failed"
        or (c.verdict == "slower" and c.ratio is not None and c.ratio > 1 + limit)
    ]


def versions_changed(old: Record, new: Record) -> list[str]:
    """Return a text for each package whose version differs, such as ``torch 2.12 → 2.13``."""
    before, after = old.machine["versions"], new.machine["versions"]
    return [
        f"{name} {before.get(name, 'missing')} → {after.get(name, 'missing')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def tally(comparisons: Sequence[Comparison]) -> str:
    """Return how often each verdict occurs, as text: ``2 slower, 5 same``."""
    order: tuple[Verdict, ...] = ("slower", "faster", "same", "can't tell", "failed")
    counts = {v: sum(c.verdict == v for c in comparisons) for v in order}
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)


def _order(case: Case) -> tuple[object, ...]:
    return case.features, case.rows, case.dtype, case.loss, case.backend
