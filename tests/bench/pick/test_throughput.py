"""Test the memory's throughput, and how much of a step's time depends on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.problem import step_bytes
from bench.pick.curves import Sample
from bench.pick.draws import DRAWS
from bench.pick.model import CostModel
from bench.pick.observations import Observations, memory_throughput, observations
from bench.pick.sentences import memory_note
from bench.pick.throughput import IN_MEMORY, MemoryThroughput
from bench.pick.ties import choose
from bench.results.case import Case
from bench.results.record import Measurement, Outcome
from tests.support import records
from tests.support.models import observed

CACHE = 32 << 20

GIGABYTE = 10**9


def reads(*gb_per_s: float, nbytes: int = 10**13) -> MemoryThroughput:
    return MemoryThroughput.of([(nbytes, p * 1e9) for p in gb_per_s], CACHE)


def test_the_usual_throughput_is_what_a_long_descent_gets() -> None:
    """Equal amounts read at 30 and 60 GB/s give 40 GB/s; outliers are ignored."""
    assert reads(30, 60).usual == pytest.approx(40e9, rel=1e-5)
    assert reads(*[30] * 6, *[60] * 6, 0.1, 10_000).usual == pytest.approx(40e9, rel=1e-5)


def test_what_a_cache_holds_says_nothing() -> None:
    assert not reads(30, nbytes=IN_MEMORY * CACHE - 1).states
    assert reads(30, nbytes=IN_MEMORY * CACHE).usual == pytest.approx(30e9 * 3 / 4)


def test_remaining_bytes_of_a_cache_are_no_faster_memory() -> None:
    """Check that bytes that stay in the cache do not count as read from memory."""
    bare = 40e9
    sizes = [(n, n / ((n - CACHE) / bare)) for n in (4 * CACHE, 10 * CACHE, 100 * CACHE)]
    memory = MemoryThroughput.of(sizes, CACHE)
    assert memory.usual == pytest.approx(bare)
    assert memory.states == pytest.approx([1.0] * len(memory.states))


@given(
    st.floats(1e-3, 1.0),
    st.lists(st.floats(10, 100), min_size=1, max_size=8),
    st.integers(GIGABYTE, 100 * GIGABYTE),
)
def test_a_step_is_the_same_at_whatever_throughput_it_was_measured(
    own: float, seen: list[float], nbytes: int
) -> None:
    """Check that step times measured at any throughput agree at the usual throughput."""
    memory = reads(*seen, nbytes=nbytes)
    usually = own + nbytes / memory.usual * (1 - CACHE / nbytes)
    for gb_per_s in seen:
        step = own + nbytes / (gb_per_s * 1e9)
        steady, waiting = memory.steady(nbytes, step, gb_per_s * 1e9)
        assert steady == pytest.approx(usually)
        assert waiting == pytest.approx(1 - own / usually, abs=1e-9)


def test_steps_in_a_cache_and_those_without_a_read_stay_as_they_are() -> None:
    small, far = 1_000, 10**9
    seen = Observations(step=(Sample(small, 1.0, 30e9), Sample(far, 2.0)))
    assert seen.at_usual_throughput(reads(30, 60), 1, "float32") == seen
    moved = replace(seen, step=(*seen.step, Sample(far, 1.0, 30e9)))
    steady = moved.at_usual_throughput(reads(30, 60), 1, "float32")
    assert steady.step[:2] == seen.step
    assert steady.step[2].value < 1.0  # measured in the memory's slow state
    assert steady.waiting > 0


def bound(a_row: float, waiting: float, states: tuple[float, ...], backend: str) -> CostModel:
    seen = replace(observed(step=(1e-6, a_row)), waiting=waiting)
    return CostModel(backend, seen, 1, "float32", states=states)


def test_an_interval_holds_all_memory_states_and_a_step_in_cache_none() -> None:
    states = reads(30, 60).states
    steady, moved = (bound(1e-10, 1.0, s, "numpy") for s in ((), states))
    n = 10**9
    assert moved.step(n).low < 0.75 * steady.step(n).median
    assert moved.step(n).high > 1.3 * steady.step(n).median
    assert moved.step(n).median == steady.step(n).median
    assert moved.at_usual_throughput.step(n) == steady.step(n)
    assert moved.step(10_000) == steady.step(10_000)
    half = bound(1e-10, 0.5, states, "numpy")
    assert steady.step(n).spread < half.step(n).spread < moved.step(n).spread


def test_the_memory_state_is_shared_so_that_it_hides_no_winner() -> None:
    states = reads(30, 60).states
    slow, fast = bound(1.5e-10, 1.0, states, "numpy"), bound(1e-10, 1.0, states, "torch")
    n = 30_000_000  # the largest measured size
    totals = [m.totals(n, 10**4) for m in (slow, fast)]
    assert np.quantile(totals[1], 0.95) > np.quantile(totals[0], 0.05)  # intervals overlap
    assert choose([slow, fast], n, 10**4) == ("torch", ())
    assert len(totals[0]) == DRAWS


def test_a_read_is_of_the_same_process() -> None:
    """Check which throughput belongs to a step.

    It is the throughput measured just before its rounds, or else that of the process's
    baseline. A step of `gram` has none, because it reads no rows.
    """
    n = 30_000_000
    row, gram = Case("numba:parallel", n, 1, "float32"), Case("numpy:gram", n, 1, "float32")

    def step(row: Case, *rates: float) -> Measurement:
        info = {"read_bytes_per_s": list(rates)} if rates else {}
        return Measurement("step", str(row), (0.01,), 1, info)

    def child(seconds: float, *steps: Measurement) -> Outcome:
        nbytes = step_bytes(n, 1, "float32")
        read = Measurement("read", str(row.read), (seconds,), 1, {"bytes": nbytes})
        return Outcome((*steps, read))

    tasks = {
        "first": child(0.01, step(row), step(gram)),
        "second": child(0.02, step(row, 1e9, 3e9, 2e9)),
    }
    record = replace(records.record(), tasks=tasks)
    found = observations([record], 1, "float32")
    assert [s.read_bytes_per_s for s in found["numba:parallel"].step] == [24e9, 2e9]
    assert [s.read_bytes_per_s for s in found["numpy:gram"].step] == [None]
    assert len(memory_throughput([record], CACHE).bytes_per_s) == 3
    of_file = replace(record, request=record.request | {"data": {"path": "rows.npy"}})
    assert not memory_throughput([of_file], CACHE).bytes_per_s


def test_a_throughput_that_changes_is_told() -> None:
    assert memory_note(reads(40, 41, 42)) == []
    assert memory_note(reads()) == []
    (told,) = memory_note(reads(*[30] * 5, *[60] * 5))
    assert "reads memory at 30 to 60 GB/s" in told
    assert "The totals are for 40 GB/s" in told
