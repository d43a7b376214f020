"""Test the statistics of raw timings, against arithmetic by hand and simulation."""

from __future__ import annotations

import json
from dataclasses import replace
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import quantile_test

from bench.results.case import Case
from bench.results.record import Measurement, Outcome
from bench.results.summary import Interval, Result, summarise
from tests.support.measurements import outcome, record, step

NUMPY = "numpy/1000000x1/float32"
BLOCKED = "numpy:blocked/1000000x1/float32"
READ = "read/1000000x1/float32"
STEP_BYTES = 8_000_000


def read(*seconds: float, steps: int = 1, nbytes: int = STEP_BYTES) -> Measurement:
    return Measurement("read", READ, seconds, steps, {"bytes": nbytes})


def one(rows: list[str], *outcomes: Outcome) -> Result:
    (result,) = summarise(record(rows, *outcomes))
    return result


# intervals


@pytest.mark.parametrize("samples", [7, 15])
def test_an_interval_covers_the_median_as_often_as_it_claims(samples: int) -> None:
    """Check that 95 % intervals contain the true median, for skewed random timings."""
    drawn = np.random.default_rng(0).lognormal(sigma=1.0, size=(1000, samples))
    intervals = [Interval.of(row.tolist()) for row in drawn]
    assert np.mean([i.low <= 1 <= i.high for i in intervals]) >= 0.93
    # An interval from minimum to maximum would be too wide.
    inside = [
        min(row) < i.low and i.high < max(row) for row, i in zip(drawn, intervals, strict=True)
    ]
    assert all(inside) is (samples == 15)


@pytest.mark.parametrize("samples", [1, 5, 6, 7, 20, 21, 200])
def test_an_interval_is_the_binomial_tests(samples: int) -> None:
    drawn = np.random.default_rng(1).lognormal(size=samples).tolist()
    bounds = quantile_test(drawn, p=0.5).confidence_interval(0.95)
    expected = [None if np.isnan(b) else b for b in (bounds.low, bounds.high)]
    interval = Interval.of(drawn)
    assert [interval.low, interval.high] == expected


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=30))
def test_an_interval_holds_its_median_and_lies_among_the_samples(samples: list[float]) -> None:
    interval = Interval.of(samples)
    assert interval.median == median(samples)
    if len(samples) < 6:
        assert interval.low is interval.high is interval.spread is None
    else:
        assert min(samples) <= interval.low <= interval.median <= interval.high <= max(samples)
        assert interval.spread == (interval.high - interval.low) / 2 / interval.median


# results


def test_medians_and_steps() -> None:
    result = one(
        [NUMPY],
        outcome(
            Measurement("import", NUMPY, (0.5,)),
            Measurement("place", NUMPY, (0.25,)),
            Measurement(
                "first_call",
                NUMPY,
                (0.125,),
                info={"relative_error": 3e-7, "peak_bytes": 70, "peak_device_bytes": None},
            ),
            Measurement("new_shape", NUMPY, (0.0625,)),
        ),
        outcome(step(NUMPY, 1.0, 3.0, steps=10, error=1e-7)),
        outcome(step(NUMPY, 40.0, 100.0, steps=20, error=2e-7)),
    )
    assert result == Result(
        backend="numpy",
        rows=1_000_000,
        features=1,
        dtype="float32",
        steps=2 * 10 + 2 * 20,
        threads=3,
        verified=True,
        reason="",
        relative_error=3e-7,
        import_s=0.5,
        place_s=0.25,
        first_call_s=0.125,
        new_shape_s=0.0625,
        step_s=Interval(median([0.1, 0.3, 2.0, 5.0]), None, None),
        bytes_per_step=STEP_BYTES,
        bandwidth_fraction=None,
        peak_bytes=70,
        peak_device_bytes=None,
    )
    assert result.gb_per_s == pytest.approx(STEP_BYTES / 1.15 / 1e9)


def test_json_has_the_agreed_fields() -> None:
    fields = one([NUMPY], outcome(step(NUMPY, *map(float, range(1, 8))), read(1.0))).as_dict()
    assert {
        *("backend", "rows", "features", "dtype", "steps", "threads", "verified"),
        *("relative_error", "import_s", "place_s", "first_call_s", "new_shape_s", "step_s"),
        *("gb_per_s", "bandwidth_fraction", "peak_bytes"),
    } <= fields.keys()
    assert fields["step_s"] == {"median": 4.0, "low": 1.0, "high": 7.0}
    assert json.loads(json.dumps(fields, allow_nan=False)) == fields


def test_results_come_by_size_and_the_fastest_first() -> None:
    small, wide = "numpy/10x1/float32", "numpy/10x2/float32"
    rows = [wide, NUMPY, BLOCKED, small]
    results = summarise(
        record(
            rows,
            outcome(step(wide, 1.0), step(NUMPY, 3.0), step(BLOCKED, 2.0), step(small, 4.0)),
        )
    )
    assert [str(result.case) for result in results] == [small, BLOCKED, NUMPY, wide]


# failures


def test_a_failure_in_any_process_fails_the_row() -> None:
    good, bad = outcome(step(NUMPY, 1.0)), Outcome(failures={NUMPY: "it died"})
    for outcomes in ([bad], [good, bad], [bad, good]):
        result = one([NUMPY], *outcomes)
        assert (result.verified, result.reason) == (False, "it died")
        assert result.step_s is result.gb_per_s is result.bandwidth_fraction is None
        assert result.as_dict()["reason"] == "it died"


def test_a_row_without_steps_is_not_verified() -> None:
    result = one([NUMPY], outcome(Measurement("place", NUMPY, (1.0,))))
    assert (result.verified, result.reason) == (False, "not measured")
    assert result.place_s == 1.0


def test_a_failure_is_its_own_rows_and_comes_last() -> None:
    failed = Outcome((step(NUMPY, 5.0), step(BLOCKED, 1.0)), {BLOCKED: "it died"})
    first, last = summarise(record([BLOCKED, NUMPY], failed))
    assert (first.backend, first.verified) == ("numpy", True)
    assert (last.backend, last.verified) == ("numpy:blocked", False)


# the fraction of the bandwidth


def test_the_fraction_is_taken_within_a_process() -> None:
    """Check that each step is compared with a read in the same process.

    The second process is ten times slower than the first.
    """
    quick = outcome(step(NUMPY, 4.0, steps=2), read(1.0))
    slow = outcome(step(NUMPY, 40.0, steps=2), read(10.0))
    assert one([NUMPY], quick, slow).bandwidth_fraction == 0.5
    unlike = outcome(step(NUMPY, 1.0), read(1.0, steps=4, nbytes=2 * STEP_BYTES))
    assert one([NUMPY], unlike).bandwidth_fraction == pytest.approx(1 / 8)


def test_a_process_without_a_read_is_left_out() -> None:
    alone = outcome(step(NUMPY, 1e-6))
    assert one([NUMPY], alone).bandwidth_fraction is None
    paired = outcome(step(NUMPY, 2.0), read(1.0))
    assert one([NUMPY], alone, paired).bandwidth_fraction == 0.5


def test_reads_between_the_rounds_are_nearer_than_the_baseline() -> None:
    """Check that reads between the rounds count more than the baseline of the process.

    In the second round, both the step and the read take twice as long.
    """
    timed = step(NUMPY, 2.0, 4.0, 2.0)
    rates = [STEP_BYTES / s for s in (1.0, 2.0, 1.0)]
    beside = replace(timed, info=timed.info | {"read_bytes_per_s": rates})
    assert one([NUMPY], outcome(beside, read(0.1))).bandwidth_fraction == 0.5


def test_a_pass_in_which_the_memory_changed_does_not_decide_the_fraction() -> None:
    """Fixed bug: the fraction was 105 %, because the memory's speed changed in one pass."""
    passes = []
    for reads in ((1.0, 1.0, 1.0), (3.2, 1.0, 3.2)):
        timed = step(NUMPY, 2.0, 2.0, 2.0)
        rates = [STEP_BYTES / s for s in reads]
        passes.append(outcome(replace(timed, info=timed.info | {"read_bytes_per_s": rates})))
    assert one([NUMPY], *passes).bandwidth_fraction == 0.5


def test_another_sizes_read_is_no_baseline() -> None:
    other = Measurement("read", "read/2000000x1/float32", (1.0,), 1, {"bytes": STEP_BYTES})
    assert one([NUMPY], outcome(step(NUMPY, 2.0), other)).bandwidth_fraction is None


@pytest.mark.parametrize("row", ["numpy/100x1/float32", "numpy@cuda:0/1000000x1/float32"])
def test_no_fraction_where_it_says_nothing(row: str) -> None:
    """Check that few bytes and data on a GPU have no fraction of the throughput.

    The time of few bytes is latency, and a GPU has its own memory.
    """
    baseline = Measurement("read", str(Case.parse(row).read), (1.0,), 1, {"bytes": 800})
    result = one([row], outcome(step(row, 1.0), baseline))
    assert result.bandwidth_fraction is None
    assert result.gb_per_s is not None
