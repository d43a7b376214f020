"""Test that paused, single or extrapolated setups do not exclude a backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.plan import Task
from bench.pick.curves import Sample
from bench.pick.doubt import LONG, PAUSE_S, extrapolated_s, paused_s, without_pauses
from bench.pick.known import Known, Setting
from bench.pick.model import CostModel
from bench.pick.observations import Observations
from bench.pick.planner import answered, next_task
from bench.pick.recommend import Request
from bench.pick.throughput import MemoryThroughput

ROWS = 1_000_000


def setups(*seconds: float, rows: int = ROWS, placed: int = 0) -> Observations:
    """Return observations of a backend: one setup time for each new process."""
    again = placed or rows
    return Observations(
        place=tuple(Sample(rows, s) for s in seconds),
        place_again=(Sample(again, seconds[0] / 10),),
        first_call=tuple(Sample(rows, 1e-3) for _ in seconds),
        step=tuple(Sample(ROWS, 1e-3) for _ in range(6)),
    )


def known(**models: Observations) -> Known:
    """Return the state of a pick for one iteration over `ROWS` rows.

    In the keywords, "_" replaces the colon of a backend's name.
    """
    request = Request(ROWS, 1, 1, "float32", {"cpu": 10**12})
    named = {name.replace("_", ":"): seen for name, seen in models.items()}
    setting = Setting(request, tuple(named), {}, "code", 2, 10**12, {})
    fitted = {n: CostModel(n, without_pauses(s), 1, "float32") for n, s in named.items()}
    return Known(setting, 60.0, fitted, MemoryThroughput(32 << 20), has_curve=True, at_least={})


QUICK = setups(*[7e-3] * 6)


def test_a_setup_measured_once_excludes_no_backend_that_a_pause_slowed() -> None:
    """Fixed bug: one setup that took 64 ms instead of 18 ms excluded the fastest backend."""
    once = known(numpy=QUICK, numpy_gram=setups(64e-3))
    assert once.live == ["numpy", "numpy:gram"]
    assert not answered(once)
    task = next_task(once, 60.0)
    assert isinstance(task, Task)
    assert task.cases == (f"numpy:gram/{ROWS}x1/float32",)
    twice = known(numpy=QUICK, numpy_gram=setups(64e-3, 66e-3))
    assert twice.live == ["numpy"]


def test_a_setup_that_no_pause_explains_excludes_a_backend_at_once() -> None:
    assert known(numpy=QUICK, torch=setups(0.5)).live == ["numpy"]


def test_an_extrapolated_copy_excludes_no_backend() -> None:
    """Fixed bug: a backend was excluded by a predicted copy of 116 ms.

    The prediction came from small data; the requested data are not copied.
    """
    small = setups(*[7e-3] * 6, rows=3_000)
    small = replace(small, place_again=(Sample(3_000, 1e-4), Sample(30_000, 3.4e-3)))
    found = known(numpy=QUICK, numpy_blocked=small)
    blocked = found.models["numpy:blocked"]
    assert blocked.place_s(ROWS) > 0.1
    assert blocked.place_s(ROWS) - extrapolated_s(blocked, ROWS) < 0.02
    assert "numpy:blocked" in found.live
    assert not answered(found)
    task = next_task(found, 60.0)
    assert isinstance(task, Task)
    assert task.cases == (f"numpy:blocked/{ROWS}x1/float32",)


def test_nothing_is_doubted_where_setups_were_repeated_at_the_size() -> None:
    model = CostModel("numpy", QUICK, 1, "float32")
    assert paused_s(model, ROWS) == 0
    assert extrapolated_s(model, ROWS) == 0


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ((7e-3, 90e-3), (7e-3,)),
        ((7e-3, 7.5e-3, 60e-3), (7e-3, 7.5e-3)),
        ((7e-3, 60e-3, 61e-3), (7e-3, 60e-3, 61e-3)),  # most are slow: no pause
        ((7e-3, 0.5), (7e-3, 0.5)),  # longer than any pause
        ((7e-3, 13e-3), (7e-3, 13e-3)),  # noise
    ],
)
def test_paused_setups_are_left_out(
    seconds: tuple[float, ...], kept: tuple[float, ...]
) -> None:
    assert tuple(s.value for s in without_pauses(setups(*seconds)).place) == kept


@given(st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=8))
def test_at_least_half_of_the_setups_are_kept(seconds: list[float]) -> None:
    kept = [s.value for s in without_pauses(setups(*seconds)).place]
    assert 2 * len(kept) >= len(seconds)
    assert min(kept) == min(seconds)
    assert all(s in kept or s > LONG * min(seconds) for s in seconds)
    assert all(s in kept or s <= max(kept) + PAUSE_S for s in seconds)
