"""How picks and predictions are held against what was measured afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from test_cost_model import model
from test_table import RESULT

from bench.check import Check, Prediction, hold, judge
from bench.extrapolation import Extrapolation, Part, parts_of
from bench.summary import Interval, Result

ROWS = 300_000_000


def result(backend: str = "numpy", slower: float = 1.0) -> Result:
    """The costs that `test_cost_model.observed` is made of, ten times beyond."""
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
    (held,) = hold([model()], [result(), result("torch")], [100])
    assert held.measured_s == pytest.approx(0.5 + 0.2 + 101 * 0.09001 + 0.301)
    assert held.error < 0.01
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


def test_the_page_says_how_far_off_and_in_which_direction() -> None:
    held = tuple(
        Prediction(backend, ROWS, 4, 100, predicted, 1.0, 3.0, 2.0)
        for backend, predicted in (("numpy", 1.8), ("torch", 2.6), ("jax", 2.0))
    )
    page = text(Extrapolation(held, (Part("numpy", "place", 3.0, 2.0),)).page())
    assert "over 3 totals the median error is 10%, the worst 30% (torch)" in page
    assert "1 were predicted too low" in page
    assert page.split()[-5:] == ["numpy", "place", "3", "2", "1.50"]
