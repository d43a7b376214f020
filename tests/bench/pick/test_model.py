"""Test the cost model: it finds known costs, in any order of measurements."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.pick.curves import SLOWEST_COPY, Sample
from bench.pick.draws import student_t4, uniforms
from bench.pick.model import CostModel
from bench.pick.peaks import CAUTION
from bench.pick.spread import PRIOR_COUNT, SETUP_SPREAD, STEP_SPREAD, narrowing
from bench.pick.steps import BETWEEN, BEYOND
from tests.support.models import SIZES, model, observed

noisy_models = st.builds(
    lambda seed, noise: model(observed(seed=seed, noise=noise)),
    st.integers(0, 10_000),
    st.floats(0, 0.3),
)
rows = st.integers(100, 10**11)
iterations = st.integers(1, 10**6)


@given(noisy_models, rows, st.floats(1, 100), iterations)
def test_totals_grow_with_rows_and_iterations(
    m: CostModel, n: int, factor: float, k: int
) -> None:
    assert m.total_s(n * factor, k) >= m.total_s(n, k) * (1 - 1e-12)
    assert m.total_s(n, k + 1) > m.total_s(n, k)
    total = m.total(n, k)
    assert total.low <= total.median <= total.high


@given(st.integers(0, 10_000), rows, iterations, st.randoms(use_true_random=False))
def test_the_order_of_measurements_does_not_matter(
    seed: int, n: int, k: int, shuffle: random.Random
) -> None:
    seen = observed(seed=seed, noise=0.1)
    fields = ("imports", "place", "place_again", "first_call", "step", "peak_bytes")
    other = replace(
        seen, **{f: tuple(shuffle.sample(v := getattr(seen, f), len(v))) for f in fields}
    )
    assert model(seen).total(n, k) == model(other).total(n, k)
    assert model(seen).peak_bytes(n) == model(other).peak_bytes(n)


@pytest.mark.parametrize("n", [100, 5_000, 10_000_000, 300_000_000])
@pytest.mark.parametrize("k", [1, 1_000])
def test_a_known_cost_is_recovered_ten_times_beyond_too(n: int, k: int) -> None:
    truth = 0.5 + 1e-3 + 1e-9 * n + 0.2 + (k + 1) * (1e-5 + 3e-10 * n)
    assert model().total_s(n, k) == pytest.approx(truth, rel=0.06)
    inside = 0
    for seed in range(40):
        total = model(observed(seed=seed, noise=0.08)).total(n, k)
        inside += total.low <= truth <= total.high
    assert inside >= 32


def test_an_interval_is_what_the_processes_and_the_distance_make_it() -> None:
    """Compare predicted intervals with a formula, for measurements without noise.

    Their width depends on the assumed noise, the number of processes and the distance from the
    measured sizes.
    """
    m = model()  # three processes at each of seven sizes
    spread = STEP_SPREAD * math.sqrt(PRIOR_COUNT / (PRIOR_COUNT + 7 * (3 - 1)))
    own = spread * narrowing(PRIOR_COUNT + 7 * (3 - 1)) * math.sqrt(1 + 1 / 3)
    for n, away, a_decade in (
        (10_000, 0.0, BETWEEN),
        (30_000, math.log10(3), BETWEEN),
        (300_000_000, 1.0, BEYOND),
    ):
        sigma = math.hypot(own, a_decade * away)
        step = m.step(n)
        for bound, quantile in ((step.low, 0.05), (step.high, 0.95)):
            width = sigma * np.quantile(m._draws[3], quantile)
            assert math.log(bound / step.median) == pytest.approx(width, rel=1e-3)


@pytest.mark.parametrize(("count", "factor"), [(4, 1.0), (10, 0.850), (10_000, 0.772)])
def test_a_spread_known_well_has_lighter_tails(count: int, factor: float) -> None:
    """Compare a factor for uncertain noise with printed tables of Student's t distribution."""
    assert narrowing(count) == pytest.approx(factor, abs=1e-3)


def test_set_ups_have_a_spread_of_their_own() -> None:
    """Check the spread of setup times, which here is estimated from three import times."""
    total = model(observed(step=(1e-12, 0.0))).totals(10_000, 1)
    count = PRIOR_COUNT + 3 - 1
    sigma = narrowing(count) * SETUP_SPREAD * math.sqrt(PRIOR_COUNT / count)
    parts = (0.5, 1e-3 + 1e-5, 0.2) @ np.exp(sigma * model()._draws[:3])
    assert total == pytest.approx(parts, rel=1e-3)


def test_the_overhead_lies_between_those_of_the_measured_sizes() -> None:
    """Check that the overhead is interpolated between measured sizes (over log rows)."""
    calls = (Sample(100, 1.0), Sample(10_000, 2.0), Sample(1_000_000, 4.0))
    seen = replace(observed(step=(1e-9, 0.0)), first_call=calls)
    for n, overhead in ((10, 1), (100, 1), (1000, 1.5), (10_000, 2), (10**5, 3), (10**9, 4)):
        assert model(seen).first_call_s(n) == pytest.approx(overhead)


def test_first_times_pass_through_what_was_measured() -> None:
    """Fixed bug: placing 100 rows took 7.3 ms for `gram`, but the model said 5.7 ms."""
    firsts = {100: 7.3e-3, 1_000_000: 10.4e-3, 30_000_000: 18.6e-3}
    again = {100: 1e-5, 1_000_000: 4e-3, 30_000_000: 24e-3}
    seen = replace(
        observed(),
        place=tuple(Sample(n, s) for n, s in firsts.items()),
        place_again=tuple(Sample(n, s) for n, s in again.items()),
    )
    of = model(seen)
    for n, seconds in firsts.items():
        assert of.place_s(n) == pytest.approx(seconds)
    everywhere = [of.place_s(n) for n in np.geomspace(1, 1e11, 400)]
    assert everywhere == sorted(everywhere)
    assert everywhere[0] > 0
    assert of.place_s(300_000_000) == pytest.approx(10 * 18.6e-3, rel=0.02)


def test_what_a_page_gets_is_json_with_the_peaks_or_without() -> None:
    whole = json.loads(json.dumps(model().as_dict()))
    assert whole["peaks"] == {"rows": [10_000, 30_000_000], "bytes": [60.12e6, 420e6]}
    assert whole["bytes_a_row"] == 12
    bare = model(replace(observed(), peak_bytes=())).as_dict()
    assert bare["peaks"] is bare["bytes_a_row"] is None


def test_a_step_is_straight_beyond_the_largest_size() -> None:
    m = model(observed(step=(1e-3, 1e-9)))
    latency = m.step_s(100)
    far = m.step_s(10**9) - latency
    assert m.step_s(2 * 10**9) - latency == pytest.approx(2 * far)


def test_beyond_the_largest_size_all_that_was_read_from_memory_counts() -> None:
    """Check that one slow process at the largest size does not decide predictions beyond it."""
    a_row = {10_000: [1e-10], 20_000_000: [1e-9, 1e-9], 40_000_000: [1.5e-9, 1e-9]}
    steps = [Sample(n, n * s) for n, of in a_row.items() for s in of]
    m = model(replace(observed(), step=tuple(steps)))
    assert m.step_s(400_000_000) == pytest.approx(0.4, rel=0.01)
    assert m.step_s(40_000_000) == pytest.approx(0.04, rel=0.01)
    assert m.step_s(10_000) == pytest.approx(1e-6)


def test_two_sizes_in_memory_give_the_cost_of_a_row() -> None:
    """Fixed bug: the predicted time for each row was half of the true time."""
    sizes = {1_000_000: 1e-3, 30_000_000: 3e-2}
    seen = replace(observed(), step=tuple(Sample(n, s) for n, s in sizes.items()))
    in_memory = CostModel("numpy", seen, 1, "float32", cache_bytes=1 << 20)
    assert in_memory.step_s(3_000_000_000) == pytest.approx(3.0, rel=0.04)


def test_one_size_gives_its_rows_all_of_its_time() -> None:
    seen = replace(observed(), step=(Sample(10_000_000, 1e-2),))
    assert model(seen).step_s(1_000_000_000) == pytest.approx(1.0)


def test_a_grams_step_reads_no_row() -> None:
    steps = tuple(Sample(n, 5e-6 if n == SIZES[-1] else 1e-6) for n in SIZES)
    gram = model(replace(observed(), step=steps), "numpy:gram")
    assert gram.step_s(100) == pytest.approx(1e-6)
    assert gram.step_s(10**9) == pytest.approx(1e-6)


def test_a_cache_is_followed_not_smoothed_away() -> None:
    steps = {100: 1e-6, 10_000: 1e-5, 100_000: 5e-5, 1_000_000: 4e-3, 10_000_000: 4e-2}
    seen = replace(observed(), step=tuple(Sample(n, s) for n, s in steps.items()))
    for n, s in steps.items():
        assert model(seen).step_s(n) == pytest.approx(s)


def test_a_dip_is_noise() -> None:
    seen = replace(
        observed(), step=(Sample(100, 2e-5), Sample(1000, 1e-5), Sample(10**4, 4e-5))
    )
    m = model(seen)
    assert m.step_s(100) == pytest.approx(m.step_s(1000)) == pytest.approx(math.sqrt(2) * 1e-5)


def test_the_interval_is_wider_far_from_what_was_measured() -> None:
    m = model()
    at, beyond, far = (m.step(n).spread for n in (30_000_000, 10**8, 10**10))
    assert at < beyond < far
    in_cache = model(observed(sizes=SIZES[:4]))
    assert in_cache.step(1_000_000).spread > m.step(300_000_000).spread


def test_one_small_placing_says_nothing_about_a_row() -> None:
    seen = replace(observed(), place=(Sample(10_000, 5e-3),), place_again=())
    a_row = 8 / SLOWEST_COPY  # and not 5 ms per 10⁴ rows
    expected = 5e-3 + (10**8 - 10_000) * a_row
    assert model(seen).place_s(10**8) == pytest.approx(expected, rel=1e-3)
    assert model(seen).place_s(10_000) == pytest.approx(5e-3, rel=0.05)


def test_placing_costs_a_row_what_it_does_at_the_largest_size() -> None:
    """Check that the largest size decides how long placing a row takes.

    Few rows may be placed faster, in memory that is cached or reused.
    """
    again = {10_000: 5e-5, 1_000_000: 1e-2, 30_000_000: 6e-2}
    seen = replace(
        observed(),
        place=(Sample(10_000, 0.3), Sample(30_000_000, 0.4)),
        place_again=tuple(Sample(n, s) for n, s in again.items()),
    )
    of = model(seen)
    assert of.place_s(10_000) == pytest.approx(0.3)
    assert of.place_s(1_000_000) == pytest.approx(0.3 + 1e-2 + 0.04 / 6, rel=1e-3)
    assert of.place_s(300_000_000) == pytest.approx(0.34 + 10 * 6e-2, rel=0.01)


def test_more_processes_narrow_the_interval() -> None:
    once = replace(observed(), step=tuple(Sample(n, 1e-5 + 3e-10 * n) for n in SIZES))
    assert model().step(10_000).spread < model(once).step(10_000).spread


def test_memory_is_the_process_the_data_and_what_is_added() -> None:
    assert model().peak_bytes(50_000_000) == pytest.approx(60e6 + 12 * 50e6, rel=0.01)
    assert model(replace(observed(), peak_bytes=())).peak_bytes(100) is None


def test_memory_follows_what_fresh_processes_held() -> None:
    """Check predicted peaks of memory between and beyond two measured sizes.

    At 10⁴ rows, the peak is the compiler's own memory; at 10⁶ rows, it is the data.
    """
    seen = (Sample(10_000, 250e6), Sample(1_000_000, 300e6))
    added = tuple(Sample(n, 100.0 * n) for n in (10_000, 1_000_000))
    of = model(replace(observed(), peak_bytes=seen, added_bytes=added))
    assert of.peak_bytes(1_000_000) == 300e6
    assert of.peak_bytes(505_000) == pytest.approx(275e6)
    assert of.peak_bytes(2_000_000) == pytest.approx(300e6 + 108e6)
    assert of.peak_bytes(100) == pytest.approx(250e6, rel=0.01)


def test_of_unknown_memory_the_host_takes_some_times_the_data_a_device_all_a_row() -> None:
    seen = replace(observed(), added_bytes=(), peak_bytes=(Sample(10_000, 60e6),))
    assert model(seen).peak_bytes(10_010_000) == pytest.approx(60e6 + CAUTION * 8 * 10**7)
    device = model(seen, "torch@cuda:0")
    assert device.peak_bytes(60_000) == pytest.approx(6 * 60e6)


def test_what_failed_or_lacks_a_part_is_not_complete() -> None:
    assert model().complete
    assert not model(replace(observed(), failure="w is wrong")).complete
    assert not model(replace(observed(), step=())).complete
    assert not model(replace(observed(), place=())).complete


# random draws, as on the page


def test_the_draws_are_students() -> None:
    uniform = uniforms(12345, 100_000)
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    assert student_t4(uniform[:1000]) == pytest.approx(stats.t.ppf(uniform[:1000], 4), rel=1e-6)


def test_mulberry32_by_hand() -> None:
    """Compute one random number of the page's generator with Python integers."""
    mask = 2**32 - 1
    a = (7 + 0x6D2B79F5) & mask
    t = ((a ^ a >> 15) * (a | 1)) & mask
    t = ((t + ((t ^ t >> 7) * (t | 61) & mask)) & mask) ^ t
    assert uniforms(7, 1)[0] == ((t ^ t >> 14) + 0.5) / 2**32
