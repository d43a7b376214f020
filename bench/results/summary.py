"""Compute the figures of the result table from raw timings: medians, intervals, ratios."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache
from statistics import median
from typing import Any

from scipy.stats import quantile_test

from backends.names import Name
from bench.results.case import SMALLEST_BYTES, SQUARED, Case
from bench.results.record import Measurement, Record

UNSTABLE = 0.1
"""A time is unstable if its 95 % confidence interval is wider than ±10 % of the time."""

NOT_MEASURED = "not measured"
"""`Result.reason` of a case that an interrupted run did not measure."""


@dataclass(frozen=True)
class Interval:
    """A median, and the two ends of its 95 % confidence interval.

    Both ends are None if there are too few samples.
    """

    median: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, samples: list[float]) -> Interval:
        """Return the median of the samples and its confidence interval.

        The ends of the interval are two of the samples; `scipy.stats.quantile_test` chooses
        them. The method assumes no distribution. With seven or more samples, the interval holds
        the true median with a probability of at least 95 % (Conover, Practical Nonparametric
        Statistics, 1999, section 3.2).
        """
        ordered = sorted(samples)
        low, high = (None if r is None else ordered[r] for r in _ranks(len(ordered)))
        return cls(median(ordered), low, high)

    @property
    def spread(self) -> float | None:
        """Half the interval's width ÷ the median; None for too few samples."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / (2 * self.median)


@cache
def _ranks(count: int) -> tuple[int | None, int | None]:
    """Return which of `count` sorted samples are the ends of the median's confidence interval.

    The result is two indices; both are None if there are too few samples.
    """
    bounds = quantile_test(range(count), p=0.5).confidence_interval(0.95)
    low, high = (None if math.isnan(b) else int(b) for b in (bounds.low, bounds.high))
    return low, high


@dataclass(frozen=True)
class Result:
    """The figures of one benchmark case: one line of the result table.

    Fields that end in ``_s`` are times in seconds, and fields with ``bytes`` are sizes in
    bytes. None means that a figure was not measured. `steps` counts the timed steps. `reason`
    says why there is no verified time; it is "" if there is a verified time.
    """

    backend: str
    rows: int
    features: int
    dtype: str
    steps: int
    threads: int
    verified: bool
    reason: str
    relative_error: float | None
    import_s: float | None
    place_s: float | None
    first_call_s: float | None
    new_shape_s: float | None
    step_s: Interval | None
    bytes_per_step: int
    bandwidth_fraction: float | None
    peak_bytes: int | None
    peak_device_bytes: int | None
    loss: str = SQUARED

    @property
    def case(self) -> Case:
        """The backend, the size, the dtype and the loss as a `Case`."""
        return Case(self.backend, self.rows, self.features, self.dtype, self.loss)

    @property
    def gb_per_s(self) -> float | None:
        """Size of X and y ÷ time of a step, in GB/s.

        None for a case without a time, and for a technique whose steps read XᵀX in place of X.
        """
        if self.step_s is None or self.least_squares_only:
            return None  # a step with XᵀX and Xᵀy reads no rows
        return self.bytes_per_step / self.step_s.median / 1e9

    @property
    def spread(self) -> float:
        """Half the width of the step's confidence interval ÷ the step's time.

        If there are too few samples, the value is infinite. If no time was measured, the
        value is 0, so that the case does not count as unstable.
        """
        if self.step_s is None:
            return 0.0
        return math.inf if self.step_s.spread is None else self.step_s.spread

    @property
    def unstable(self) -> bool:
        """Whether the samples are too few, or differ too much; see `UNSTABLE`."""
        return self.spread > UNSTABLE

    @property
    def least_squares_only(self) -> bool:
        """Whether the technique works for squared error only."""
        return Name.parse(self.backend).least_squares_only

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``run --json``."""
        return asdict(self) | {
            "gb_per_s": self.gb_per_s,
            "unstable": self.unstable,
            "least_squares_only": self.least_squares_only,
            "reason": self.reason or None,
        }


def instability(spread: float) -> str:
    """Return a `Result.spread` as text: ``±23%``, or ``(few samples)`` if it is infinite."""
    return "(few samples)" if math.isinf(spread) else f"±{spread:.0%}"


def summarise(record: Record) -> list[Result]:
    """Return a `Result` for every requested case, ordered by size and then by speed.

    Within a size, the fastest case is first. Cases whose technique works for squared error only
    are after all other cases of the size.
    """
    results = [_result(record, Case.parse(text)) for text in record.request["rows"]]

    def order(result: Result) -> tuple[object, ...]:
        seconds = result.step_s.median if result.step_s else math.inf
        size = (result.features, result.rows, result.dtype, result.loss)
        return (*size, result.least_squares_only, seconds, result.backend)

    return sorted(results, key=order)


def _result(record: Record, case: Case) -> Result:
    tasks, text = record.tasks.values(), str(case)
    mine = [m for task in tasks for m in task.measurements if m.row == text]
    reasons = [task.failures[text] for task in tasks if text in task.failures]
    steps = [m for m in mine if m.kind == "step"]
    verified = bool(steps) and not reasons
    samples = [s for m in steps for s in m.seconds_per_step]

    def once(kind: str) -> float | None:
        return _middle(s for m in mine if m.kind == kind for s in m.seconds)

    def worst(key: str) -> Any:
        values = [m.info[key] for m in mine if m.info.get(key) is not None]
        return max(values, default=None)

    return Result(
        backend=case.backend,
        rows=case.rows,
        features=case.features,
        dtype=case.dtype,
        loss=case.loss,
        steps=sum(m.steps * len(m.seconds) for m in steps),
        threads=record.machine["threads"],
        verified=verified,
        reason="" if verified else next(iter(reasons), NOT_MEASURED),
        relative_error=worst("relative_error"),
        import_s=once("import"),
        place_s=once("place"),
        first_call_s=once("first_call"),
        new_shape_s=once("new_shape"),
        step_s=Interval.of(samples) if verified else None,
        bytes_per_step=case.bytes_per_step,
        bandwidth_fraction=read_fraction(record, case)
        if verified and case.reads_rows
        else None,
        peak_bytes=worst("peak_bytes"),
        peak_device_bytes=worst("peak_device_bytes"),
    )


def _middle(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def read_fraction(record: Record, case: Case) -> float | None:
    """Return the throughput of a step as a share of the read bandwidth, usually from 0 to 1.

    - If a read was timed just before each round of steps, each round has a share: the
      throughput of its steps ÷ the throughput of the read before it. The result is the median
      share.
    - If reads were timed only in separate rounds, each process that measured the case on the
      CPU has a share: the median throughput of the steps ÷ the median throughput of the reads.
      The result is the median share.
    - The result is None if no read was timed, or if the data are smaller than `SMALLEST_BYTES`.
    """
    if case.bytes_per_step < SMALLEST_BYTES:
        return None  # limited by latency, not by bandwidth

    def rate(
        measurements: Iterable[Measurement], of: Callable[[Measurement], int]
    ) -> float | None:
        return _middle(of(m) / s for m in measurements for s in m.seconds_per_step)

    text, baseline = str(case), str(case.read)
    paired: list[float] = []
    fractions: list[float] = []
    for task in record.tasks.values():
        steps = [m for m in task.measurements if m.kind == "step" and m.row == text]
        reads = [m for m in task.measurements if m.row == baseline]
        paired += [
            case.bytes_per_step / s / read
            for m in steps
            for s, read in zip(
                m.seconds_per_step, m.info.get("read_bytes_per_s", ()), strict=False
            )
        ]
        if case.device != "cpu":
            continue
        step = rate(steps, lambda _: case.bytes_per_step)
        read = rate(reads, lambda m: int(m.info["bytes"]))
        if step and read:
            fractions.append(step / read)
    return _middle(paired or fractions)
