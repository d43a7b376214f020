"""Test the fraction of the memory's throughput that each backend of a pick reaches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.pick.known import Known, Setting
from bench.pick.model import CostModel
from bench.pick.recommend import Request
from bench.pick.shares import AT_MOST, near_shares, shares
from bench.pick.throughput import MemoryThroughput
from bench.results.case import READ, Case
from bench.results.record import Measurement
from tests.support.measurements import outcome, record, step
from tests.support.models import model, observed

CACHE = 1 << 20
MEMORY = MemoryThroughput(CACHE, (20e9, 20e9))


def known(rows: int, **models: CostModel) -> Known:
    request = Request(rows, 1, 100, "float32", {"cpu": 1 << 36})
    named = {m.backend: replace(m, cache_bytes=CACHE) for m in models.values()}
    setting = Setting(request, tuple(named), {}, "code", 2, 1 << 36, {})
    return Known(setting, 60.0, named, MEMORY, has_curve=True, at_least={})


def test_the_share_is_that_of_the_predicted_step() -> None:
    """Fixed bug: a fraction measured at 10⁶ rows was shown for a predicted step of 10⁷ rows."""
    rows = 30_000_000
    loop = model(observed(step=(1e-5, 8 / 10e9)), "torch:analytic")
    gram = model(observed(), "numpy:gram")
    found = shares(known(rows, loop=loop, gram=gram), [])
    assert found == {"torch:analytic": pytest.approx(0.5, rel=0.02)}


def test_a_lower_bound_has_no_share() -> None:
    fast = model(observed(step=(1e-6, 1e-10)), "numba:parallel")
    cached = model(observed(step=(1e-3, 1e-8), sizes=(10_000, 100_000)), "numpy")
    state = known(30_000_000, fast=fast, cached=cached)
    assert "numpy" in state.excluded
    assert shares(state, [])["numpy"] is None


@pytest.mark.parametrize(("rows", "shown"), [(1_000_000, True), (3_000_000, True), (10, False)])
def test_in_the_caches_only_a_near_size_counts(rows: int, shown: bool) -> None:
    assert AT_MOST == 3
    case = Case("numpy", 1_000_000, 1, "float32")
    read = Measurement(READ, str(case.read), (1e-3,), 1, {"bytes": case.bytes_per_step})
    saved = record([str(case)], outcome(step(str(case), 2e-3), read))
    found = near_shares([saved], rows, 1, "float32")
    assert found == ({"numpy": pytest.approx(0.5)} if shown else {})
