"""Test how predictions and picks are compared with later measurements."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from bench.checks import extrapolation
from bench.checks.extrapolation import (
    CONTENDERS,
    FEATURES,
    LEARNT,
    Extrapolation,
    Part,
    held,
    parts_of,
)
from bench.checks.pick import markdown, passes
from bench.pick.regime import Regime
from bench.pick.verification import Check, Prediction, hold, judge
from bench.pick.verification import Outcome as PickOutcome
from bench.results.case import Case
from bench.results.record import Measurement, Outcome
from bench.results.summary import Interval, Result
from tests.support import records
from tests.support.measurements import RESULT
from tests.support.models import model

ROWS = 300_000_000


def result(backend: str = "numpy", slower: float = 1.0) -> Result:
    """Return a result with the costs of `tests.support.models.observed`, for `ROWS` rows."""
    return replace(
        RESULT,
        backend=backend,
        rows=ROWS,
        features=1,
        import_s=0.5,
        place_s=1e-3 + 1e-9 * ROWS,
        first_call_s=0.2 + 1e-5 + 3e-10 * ROWS,
        step_s=Interval(slower * (1e-5 + 3e-10 * ROWS), None, None),
    )


def text(page: object) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(page)
    return capture.get()


def test_a_total_and_its_parts_are_held_beyond_what_was_measured() -> None:
    (total,) = hold([model()], [result(), result("torch")], [100])
    assert total.measured_s == pytest.approx(0.5 + 0.2 + 101 * 0.09001 + 0.301)
    assert total.error < 0.01
    parts = parts_of(model(), result(slower=2))
    assert [p.name for p in parts] == ["import", "place", "first call", "step"]
    ratios = [p.predicted_s / p.measured_s for p in parts]
    assert ratios == pytest.approx([1, 1, 1, 0.5], rel=0.01)


def test_what_was_not_measured_is_no_part() -> None:
    names = {p.name for p in parts_of(model(), replace(result(), import_s=None))}
    assert names == {"place", "first call", "step"}


def test_a_pick_costs_its_time_over_the_best() -> None:
    slow, fast = result(slower=2), result("numba:parallel")
    outcome = judge("numpy", ROWS, 1, 10**6, [slow, fast])
    assert outcome is not None
    assert (outcome.best, outcome.regret) == ("numba:parallel", pytest.approx(2, rel=1e-4))
    assert not Check((), (outcome,)).good
    assert judge("torch", ROWS, 1, 1, [slow, fast]) is None


def outcome(regret: float) -> PickOutcome:
    return PickOutcome(100, 1, 10, "numpy", "numba", regret)


def predicted(measured: float) -> Prediction:
    return Prediction("numpy", 100, 1, 10, 1.0, 0.9, 1.1, measured)


@pytest.mark.parametrize(
    ("regrets", "inside", "good"),
    [
        ((1.0, 1.0, 1.1), 18, True),
        ((1.0, 1.0, 1.2), 18, False),
        ((1.0, 1.05, 1.05), 18, False),
        ((1.0, 1.0, 1.0), 16, False),
        ((1.0, 1.0, 1.0), 20, False),
    ],
)
def test_a_check_passes_within_its_limits(
    regrets: tuple[float, ...], inside: int, good: bool
) -> None:
    held = [predicted(1.05)] * inside + [predicted(2.0)] * (20 - inside)
    assert passes(Check(tuple(held), tuple(map(outcome, regrets)))) is good


def test_the_figures_are_markdown_for_the_document() -> None:
    check = Check((predicted(1.25), predicted(1.0)), (outcome(1.0), outcome(1.04)))
    text = markdown(check, "log_loss")
    assert "**log_loss**: 0 of 2 picks were the fastest backend" in text
    regret = "The median regret (total time ÷ shortest total time) is 1.02, the worst 1.04."
    assert regret in text
    assert "50% of the 2 measured total times lie in their predicted intervals." in text
    assert "| 100 | 1 | 10 | numpy | numba | 1.04 |" in text
    assert "| numpy | 2 | 10% | 20% | 50% |" in text


def test_the_page_says_how_far_off_and_in_which_direction() -> None:
    apart = tuple(
        Prediction(backend, ROWS, 4, 100, predicted, 1.0, 2.5, 2.0)
        for backend, predicted in (("numpy", 1.8), ("torch", 2.6), ("jax", 2.0))
    )
    one_throughput = tuple(replace(p, measured_s=p.predicted_s / 1.05) for p in apart)
    part = Part("numpy", "place", 3.0, 2.0)
    page = text(Extrapolation(apart, one_throughput, (part,), (("numpy", 1.8),)).page())
    page = " ".join(page.split())
    assert "over 3 totals the median error is 10%, the worst 30% (torch)" in page
    assert "1 were predicted too low, and 3 lie in their intervals" in page
    assert "Beside these steps, a read of memory took 1.80 (numpy) times as long" in page
    assert "at one throughput the median error is 5%, the worst 5%" in page
    assert page.split()[-5:] == ["numpy", "place", "3", "2", "1.50"]
    assert "Beside these" not in text(Extrapolation(apart, apart, (part,)).page())


def test_what_the_memorys_throughput_did_is_told_apart() -> None:
    """Simulate a memory that is slower while the steps at the large size are measured.

    Predictions are then wrong, except those compared at one throughput.
    """
    sizes = [(n, FEATURES) for n in (*LEARNT, extrapolation.ROWS)]
    costs = {b: records.COSTS[b] for b in CONTENDERS}
    fast = records.record(sizes=sizes, costs=costs, spread=0.0)
    tasks = {name: slower_far(o, 1.8) for name, o in fast.tasks.items()}
    found = held(replace(fast, tasks=tasks), Regime(records.LAPTOP["caches"]["L3"]))
    assert {b for b, _ in found.slowness} == {"numpy:blocked", "numba:parallel"}
    assert [slow for _, slow in found.slowness] == pytest.approx(
        [1.7, 1.7], rel=0.01
    )  # less than 1.8, because a cache serves a part of each read
    raw, steady = (
        {(p.backend, p.iterations): p.error for p in of}
        for of in (found.predictions, found.at_one_throughput)
    )
    assert raw["numba:parallel", 10_000] == pytest.approx(1 - 1 / 1.8, abs=0.05)
    assert max(steady.values()) < 0.06
    assert raw["numpy:gram", 10_000] == steady["numpy:gram", 10_000]


def slower_far(outcome: Outcome, times: float) -> Outcome:
    """Return the outcome with slower steps and reads at the large size.

    `times` is the factor by which reading memory takes longer.
    """

    def moved(m: Measurement) -> Measurement:
        row = Case.parse(m.row)
        if row.rows != extrapolation.ROWS or m.kind not in ("step", "read"):
            return m
        reading = records.READ_SECONDS_A_BYTE * row.bytes_per_step
        if row.backend == "numpy:gram":
            return m
        return replace(m, seconds=tuple(s + (times - 1) * reading for s in m.seconds))

    return replace(outcome, measurements=tuple(map(moved, outcome.measurements)))
