"""Test the predicted totals of several machines, from a model of one machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.problem import step_bytes
from bench.pick.curves import Sample
from bench.pick.model import CostModel
from bench.pick.observations import Observations
from bench.pick.recommend import Request
from bench.pick.several_machines import across, in_words, over_workers, wanted

NANOSECONDS_A_ROW = 2.0


def model(backend: str = "numba:parallel") -> CostModel:
    """Return a model of a backend that takes 2 ns per row and step and stores only the data."""
    sizes = (100, 10_000, 1_000_000, 100_000_000)
    steps = tuple(Sample(n, 1e-9 * NANOSECONDS_A_ROW * n) for n in sizes)
    set_up = tuple(Sample(n, 0.01) for n in sizes)
    peaks = tuple(Sample(n, step_bytes(n, 1, "float32")) for n in sizes)
    nothing = tuple(Sample(n, 0.0) for n in sizes)
    seen = Observations(
        imports=(0.1,), place=set_up, first_call=set_up, step=steps, peak_bytes=peaks,
        added_bytes=nothing,
    )  # fmt: skip
    return CostModel(backend, seen, 1, "float32")


def request(rows: float, memory: float = 1e9) -> Request:
    return Request(int(rows), 1, 1000, "float32", {"cpu": int(memory)})


def test_the_fewest_machines_hold_the_data_and_one_less_does_not() -> None:
    found = across(model(), request(1e10), 1e-3)
    assert found is not None
    fewest, *more = found.shares
    data = step_bytes(10**10, 1, "float32")
    assert fewest.machines == pytest.approx(data / 1e9, rel=0.02)
    assert fewest.needs_bytes <= 1e9 < data / (fewest.machines - 1)
    assert [s.machines for s in more] == [2 * fewest.machines, 4 * fewest.machines]


@given(rows=st.integers(10**6, 10**12), exchange=st.floats(1e-5, 1e-1))
def test_a_step_is_its_share_and_the_exchange(rows: int, exchange: float) -> None:
    found = across(model(), request(rows, 64e9), exchange)
    assert found is not None
    for share in found.shares:
        assert share.rows * share.machines >= rows
        assert share.exchange_s == pytest.approx(exchange * (share.machines - 1))
        own = share.step_s - share.exchange_s
        assert own == pytest.approx(1e-9 * NANOSECONDS_A_ROW * share.rows, rel=0.01)
        assert share.total_s > 1000 * share.step_s


def test_two_pay_from_where_half_the_rows_save_more_than_the_exchange() -> None:
    """Check from how many rows two machines are faster.

    At 10⁶ rows, half of the rows take 1 ms, as long as the exchange between machines.
    """
    found = across(model(), request(1e9), 1e-3)
    assert found is not None
    assert found.pays_from_rows == pytest.approx(1e6, rel=0.1)


def test_a_short_descent_needs_no_second_machine() -> None:
    assert not wanted(model(), request(1e4), fits=True)
    assert wanted(model(), request(1e4), fits=False)
    assert wanted(model(), request(1e9), fits=True)


def test_only_kernels_of_the_workers_can_be_spread() -> None:
    assert over_workers("numba:parallel") == "dask:numba"
    assert over_workers("torch") == "dask:torch"
    assert across(model(), request(1e9), 1e-3) is not None


def test_the_assumption_is_said() -> None:
    asked = request(1e10)
    found = across(model(), asked, 1e-3)
    assert found is not None
    text = " ".join(in_words(found, asked))
    assert text.startswith("Across machines, dask:numba: ")
    assert "Assumed: adding up the sums of two machines takes 1 ms a step, as measured" in text
    assert "a network's latency is not included" in text
    assert "Two machines take less time a step than one from about 1,000,000 rows on." in text
