"""Test the drift (the common change of all times between two moments)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bench.pick.drift import DRIFT, drift_of, factors
from bench.pick.spread import PRIOR_COUNT
from bench.results.case import Case
from bench.results.record import Record
from tests.support.measurements import outcome, record, step
from tests.support.models import model, observed

CACHE = 1 << 20
SMALL = str(Case("numpy", 10_000, 1, "float32"))
LARGE = str(Case("numpy", 10_000_000, 1, "float32"))


def records(*seconds: float, case: str = SMALL) -> list[Record]:
    return [record([case], outcome(step(case, s, s, s))) for s in seconds]


def test_without_records_the_prior_holds() -> None:
    assert drift_of([], CACHE) == pytest.approx(DRIFT)
    assert drift_of(records(1e-5), CACHE) == pytest.approx(DRIFT)


def test_the_drift_is_the_spread_between_records() -> None:
    times = [1e-5 * math.exp(0.3 * z) for z in np.random.default_rng(0).standard_normal(400)]
    assert drift_of(records(*times), CACHE) == pytest.approx(0.3, rel=0.1)
    steady = drift_of(records(*[1e-5] * 400), CACHE)
    assert steady == pytest.approx(DRIFT * math.sqrt(PRIOR_COUNT / (PRIOR_COUNT + 399)))


def test_a_paused_process_is_no_drift() -> None:
    """Fixed bug: one paused setup in six records gave a drift of 120 %."""
    assert drift_of(records(*[1e-5] * 5, 1e-3), CACHE) < 3 * DRIFT


def test_memory_has_states_of_its_own() -> None:
    assert drift_of(records(1e-3, 3e-3, case=LARGE), CACHE) == pytest.approx(DRIFT)


def test_one_process_does_not_show_the_drift_however_often_it_is_repeated() -> None:
    once = record([SMALL], outcome(*(step(SMALL, s) for s in (1e-5, 2e-5, 4e-5))))
    assert drift_of([once], CACHE) == pytest.approx(DRIFT)


def test_the_drift_widens_totals_and_changes_no_comparison() -> None:
    still = [model(), model(observed(step=(1e-5, 3.2e-10)), "torch")]
    drifting = [replace(m, drift=0.2) for m in still]
    for before, after in zip(still, drifting, strict=True):
        assert after.total(10**6, 100).spread > before.total(10**6, 100).spread
        ratio = after.totals(10**6, 100) / before.totals(10**6, 100)
        assert ratio == pytest.approx(factors(0.2))
        assert after.at_usual_throughput.totals(10**6, 100) == pytest.approx(
            before.totals(10**6, 100)
        )


def test_the_draws_are_normal() -> None:
    logs = np.log(factors(1.0))
    assert (logs.mean(), logs.std()) == pytest.approx((0.0, 1.0), abs=0.05)
    assert np.quantile(logs, [0.05, 0.5, 0.95]) == pytest.approx([-1.645, 0, 1.645], abs=0.12)
