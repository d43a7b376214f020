"""Test the recommendation: the pick, ties, and the sentence about them."""

from __future__ import annotations

import io
import itertools
import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from rich.console import Console, RenderableType

from bench.pick.draws import COVERAGE, Range
from bench.pick.model import CostModel
from bench.pick.page import answer_page
from bench.pick.recommend import (
    FEWEST_ROWS,
    GRID_POINTS,
    NOT_NEAR,
    Request,
    break_even,
    crossovers,
    recommend,
)
from bench.pick.sentences import notes, rounded, sentence, span
from bench.pick.ties import choose, plainness
from bench.show.text import duration, plural
from tests.support.models import model, observed

PLENTY = {"cpu": 10**12}


def ask(rows: int = 1_000_000, iterations: int = 1000, **more: object) -> Request:
    memory = more.pop("memory_bytes", PLENTY)
    return Request(rows, 1, iterations, "float32", memory, **more)  # type: ignore[arg-type]


def costs(backend: str, **laws: object) -> CostModel:
    return model(observed(**laws), backend)  # type: ignore[arg-type]


SLOW = costs("numpy", import_s=0.01, overhead=0.0, step=(1e-5, 1e-9))
FAST = costs("numba:parallel", overhead=2.0, step=(1e-6, 1e-10))
GRAM = costs("numpy:gram", import_s=0.01, place=(1e-3, 4e-9), overhead=0.0, step=(1e-8, 1e-18))


@pytest.mark.parametrize("models", [*itertools.permutations([SLOW, FAST, GRAM])])
def test_the_fastest_is_picked_in_any_order(models: tuple[CostModel, ...]) -> None:
    answer = recommend(models, ask(iterations=100_000), {})
    assert (answer.pick, answer.loop_pick) == ("numpy:gram", "numba:parallel")
    assert recommend(models, ask(iterations=100_000, loop_only=True), {}).pick == FAST.backend
    assert recommend(models, ask(iterations=1), {}).loop_pick == "numpy"
    assert [c.backend for c in answer.candidates] == ["numpy:gram", "numba:parallel", "numpy"]
    assert all(c.available for c in answer.candidates)


def test_of_those_that_tie_the_plainer_is_picked() -> None:
    faster = costs("numpy:blocked", step=(1e-5, 1e-9))
    plain = costs("numpy", step=(1e-5, 1.03e-9))
    assert choose([faster, plain], 10**6, 10**6) == ("numpy", ("numpy:blocked",))


def test_but_not_where_that_is_expected_to_cost_more_than_5_percent() -> None:
    faster = costs("numpy:blocked", step=(1e-5, 1e-9))
    plain = costs("numpy", step=(1e-5, 1.1e-9))
    assert choose([faster, plain], 10**6, 10**6) == ("numpy:blocked", ("numpy",))


def test_plainness() -> None:
    names = ["numpy:gram", "torch@cuda:0", "numba:parallel", "jax", "numpy"]
    plain_first = ["jax", "numpy", "torch@cuda:0", "numba:parallel", "numpy:gram"]
    assert sorted(names, key=lambda n: (plainness(n), n)) == plain_first
    assert plainness("torch@axl:0") == plainness("torch@cuda:0")


def test_break_even_is_the_set_ups_difference_over_the_steps() -> None:
    rows = 1_000_000
    even = break_even(FAST, SLOW, rows)
    assert even is not None
    assert FAST.total_s(rows, even) == pytest.approx(SLOW.total_s(rows, even))
    assert break_even(SLOW, FAST, rows) is None
    assert break_even(SLOW, SLOW, rows) == 0


def test_a_crossover_lies_where_the_totals_meet() -> None:
    (found,) = crossovers([SLOW, FAST], ask(rows=100_000_000))
    assert (found.before, found.after) == ("numpy", "numba:parallel")
    assert found.low <= found.rows <= found.high
    ratio = SLOW.total_s(found.rows, 1000) / FAST.total_s(found.rows, 1000)
    assert ratio == pytest.approx(1, rel=0.1)
    assert crossovers([SLOW], ask()) == ()
    assert crossovers([SLOW, FAST], ask(rows=50)) == ()


EARLY = (
    costs("numpy", import_s=1e-3, overhead=0.0, step=(1e-5, 1e-7)),
    costs("numba:parallel", import_s=1e-3, overhead=0.02, step=(1e-6, 1e-8)),
)


@pytest.mark.parametrize(
    ("models", "rows", "open_ends"),
    [
        ((SLOW, FAST), 100_000_000, (False, False)),
        ((SLOW, FAST), 2_800_000, (False, True)),
        (EARLY, 100_000, (True, False)),
    ],
)
def test_a_crossovers_bounds_are_where_it_is_certain(
    models: tuple[CostModel, CostModel], rows: int, open_ends: tuple[bool, bool]
) -> None:
    """Check the bounds of a crossover (the size from which another backend is faster).

    The lower bound is the last size where the other backend is almost never faster. The upper
    bound is the first size where it is almost always faster. If no tested size fulfils this,
    the bound is the smallest or the largest tested size.
    """
    before, after = models
    (found,) = crossovers(models, ask(rows=rows))
    grid = np.geomspace(FEWEST_ROWS, rows, GRID_POINTS)
    wins = [np.mean(after.totals(n, 1000) < before.totals(n, 1000)) for n in grid]
    faster = [after.total_s(n, 1000) < before.total_s(n, 1000) for n in grid]
    first = faster.index(True)
    assert found.rows == pytest.approx(math.sqrt(grid[first - 1] * grid[first]))
    never = [n for n, share in zip(grid[:first], wins, strict=False) if share <= 1 - COVERAGE]
    always = [n for n, share in zip(grid, wins, strict=True) if share >= COVERAGE]
    assert (not never, not always) == open_ends
    assert found.low == (max(never) if never else FEWEST_ROWS)
    assert found.high == (min(always) if always else grid[-1])


def test_an_answer_cannot_be_changed() -> None:
    answer = recommend([SLOW, FAST], ask(rows=100_000_000), {})
    for frozen in (answer, answer.request, answer.candidates[0], answer.crossovers[0]):
        with pytest.raises(FrozenInstanceError):
            frozen.rows = 1  # type: ignore[misc,union-attr]


def test_what_does_not_fit_is_not_picked_while_something_does() -> None:
    hungry = costs("numba:parallel", added=400.0, overhead=0.0, step=(1e-6, 1e-10))
    answer = recommend([SLOW, hungry], ask(memory_bytes={"cpu": 100_000_000}), {})
    assert answer.pick == "numpy"
    assert answer.of("numba:parallel").fits is False


def test_unknown_memory_is_not_enough_where_another_backend_does_not_fit() -> None:
    """Fixed bug: a slow backend was picked because its memory was unknown.

    The fastest backend does not fit into memory, but the slow one may need too much memory,
    too.
    """
    hungry = costs("numba:parallel", added=400.0, overhead=0.0, step=(1e-6, 1e-10))
    seen = replace(SLOW.observations, peak_bytes=(), added_bytes=())
    unknown = replace(SLOW, observations=seen)
    answer = recommend([unknown, hungry], ask(memory_bytes={"cpu": 100_000_000}), {})
    assert answer.pick == "numba:parallel"
    assert not answer.fits
    assert recommend([unknown], ask(), {}).fits


def test_what_takes_all_the_memory_there_is_fits() -> None:
    needs = SLOW.peak_bytes(10_000)
    assert needs == 60_120_000
    for memory, fits in ((60_120_000, True), (60_119_999, False)):
        answer = recommend([SLOW], ask(10_000, memory_bytes={"cpu": memory}), {})
        assert answer.fits is answer.of("numpy").fits is fits


def test_where_nothing_fits_the_answer_says_how_many_machines_it_takes() -> None:
    request = ask(rows=10**10, memory_bytes={"cpu": 24 * 10**9})
    answer = recommend([SLOW, FAST], request, {})
    assert answer.pick == answer.loop_pick == "numba:parallel"
    assert not answer.fits
    text = sentence(answer)
    assert text.startswith("No backend holds 1e10 rows")
    assert "On 6 machines like it" in text  # 120 GB in total, 24 GB on each machine


def test_the_sentence_needs_no_glossary() -> None:
    text = sentence(recommend([SLOW, FAST, GRAM], ask(iterations=10, loop_only=True), {}))
    assert text.startswith("Use numpy on this CPU: 10 iterations in ")
    assert "numba:parallel would take " in text
    assert "numba:parallel pays off only after " in text
    for word in ("regret", "median", "quantile", "technique", "nnls", "draw"):
        assert word not in text


def test_a_tie_is_named_with_its_reason_in_the_same_line() -> None:
    """Fixed bug: the sentence began with 3.8 s, but the table below it began with 3.63 s."""
    faster = costs("numpy:blocked", step=(1e-5, 1e-9))
    plain = costs("numpy", step=(1e-5, 1.03e-9))
    text = sentence(recommend([faster, plain], ask(iterations=10**6), {}))
    assert text.startswith("Use numpy on this CPU: ")
    assert "; numpy:blocked, with " in text
    assert "cannot be told apart from it, and numpy is the plainer of the two" in text
    assert "told apart" not in sentence(recommend([plain], ask(iterations=10**6), {}))


def test_a_wide_interval_is_not_picked_for_a_slightly_lower_median() -> None:
    """Fixed bug: a pick that was measured only in caches took 1.96 times too long."""
    sure = costs("numpy:blocked", step=(1e-5, 1e-9))
    wide = costs("jax:loop", step=(1e-5, 0.9e-9), sizes=(100, 100_000))
    request = ask(iterations=10**6)
    assert wide.total_s(request.rows, 10**6) < sure.total_s(request.rows, 10**6)
    answer = recommend([wide, sure], request, {})
    assert answer.pick == "numpy:blocked"
    assert answer.tied == ("jax:loop",)
    text = sentence(answer)
    assert "jax:loop, with " in text
    assert "numpy:blocked has the narrower interval" in text


def test_a_tie_of_equally_plain_backends_has_its_own_reason() -> None:
    """Fixed bug: numba:parallel was called plainer than jax:blocked."""
    near = costs("jax:blocked", step=(1e-5, 2.95e-10))
    text = sentence(recommend([costs("numba:parallel"), near], ask(), {}))
    assert text.startswith("Use numba:parallel")
    assert "jax:blocked" in text
    assert "numba:parallel is listed first by 'backends'" in text


def test_a_tie_of_loops_beside_a_gram_has_its_reason_too() -> None:
    faster = costs("numpy:blocked", step=(1e-5, 1e-9))
    plain = costs("numpy", step=(1e-5, 1.03e-9))
    answer = recommend([faster, plain, GRAM], ask(iterations=10**6), {})
    assert answer.loop_tied == ("numpy:blocked",)
    (said,) = [note for note in notes(answer, "", {}, "") if "squared error" in note]
    assert "numpy:blocked, with " in said
    assert "cannot be told apart" in said


def test_nothing_measured_is_said() -> None:
    answer = recommend([], ask(), {"torch": "the budget ended before it was measured"})
    assert answer.pick is None
    assert sentence(answer).startswith("Nothing can be recommended")
    assert not answer.candidates[0].available
    assert notes(answer, "", {}, "") == []


def test_gram_names_a_loop_for_other_losses() -> None:
    answer = recommend([SLOW, FAST, GRAM], ask(iterations=100_000), {})
    said = " ".join(notes(answer, "", {}, ""))
    assert "works only for squared error" in said
    assert "numba:parallel" in said
    assert "extrapolated" not in said


def test_a_loop_that_is_extrapolated_is_named_as_such() -> None:
    """Check the note about an extrapolated loop, although the pick itself is a `gram`."""
    answer = recommend([SLOW, GRAM], ask(rows=10**9, iterations=100_000), {})
    assert answer.pick == GRAM.backend
    said = [note for note in notes(answer, "", {}, "") if "extrapolated" in note]
    assert any(note.startswith(f"{SLOW.backend} was measured up to") for note in said)


def test_what_is_extrapolated_is_said() -> None:
    answer = recommend([SLOW], ask(rows=10**9), {})
    assert any(
        "3e7 rows" in note and "extrapolated" in note for note in notes(answer, "", {}, "")
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123, "12.3 ms"),
        (119.0, "119 s"),
        (600.0, "10 min"),
        (8e4, "22.2 h"),
        (1e6, "11.6 days"),
    ],
)
def test_durations_can_be_imagined(value: float, text: str) -> None:
    assert duration(value) == text


def test_spans_and_counts() -> None:
    assert span(Range(12.94, 12.1, 13.8)) == "12.9 s (12.1–13.8 s)"
    assert span(Range(1.0, 0.9, 1.2)) == "1 s (900 ms–1.2 s)"
    assert rounded(41_234) == "41,000"
    assert (plural(1, "iteration"), plural(1000, "iteration")) == (
        "1 iteration",
        "1,000 iterations",
    )


def test_a_backend_measured_far_away_is_left_out_beside_a_near_one() -> None:
    """Fixed bug: times of 100 rows were used to predict 3·10⁷ rows."""
    tiny = costs("numba:parallel", step=(1e-6, 1e-12), sizes=(100,))
    answer = recommend([SLOW, tiny], ask(rows=30_000_000), {})
    assert answer.pick == "numpy"
    assert answer.of("numba:parallel").reason == NOT_NEAR
    assert recommend([tiny], ask(rows=30_000_000), {}).pick == "numba:parallel"


def test_steps_from_the_caches_alone_give_a_lower_bound() -> None:
    """Fixed bug: plain NumPy was shown with 8.6 ms per step at 10⁷ rows instead of 23 ms."""
    cached = costs("numpy", step=(1e-5, 9e-10), sizes=(100_000, 1_000_000))
    answer = recommend([cached, FAST], ask(rows=100_000_000), {}, excluded=["numpy"])
    line = answer.of("numpy")
    assert line.lower_bound
    assert answer.candidates[-1] is line
    assert "numpy would take" not in sentence(answer)
    text = rendered(answer_page(answer, []))
    (shown,) = [row for row in text.splitlines() if row.startswith("numpy")]
    assert shown.count(">") == 2
    assert "lower bound" in text
    for others in ({"excluded": ()}, {"excluded": ["numpy"], "rows": 1_000_000}):
        rows = others.get("rows", 100_000_000)
        again = recommend([cached, FAST], ask(rows=rows), {}, excluded=others["excluded"])
        assert not again.of("numpy").lower_bound
        assert ">" not in rendered(answer_page(again, []))


def test_break_evens_with_a_lower_bound_are_upper_bounds() -> None:
    """Plain NumPy may be slower than shown; others then pay from fewer iterations."""
    cached = costs("numpy", step=(1e-5, 9e-10), sizes=(100_000, 1_000_000))
    answer = recommend([cached, FAST], ask(rows=100_000_000), {}, excluded=["numpy"])
    rows = rendered(answer_page(answer, [])).splitlines()
    assert any(row.startswith("numba:parallel") and "≤" in row for row in rows)
    (plain,) = [row for row in rows if row.startswith("numpy")]
    assert "≤" not in plain


def test_break_evens_are_bounds_if_the_backend_they_are_relative_to_is_one() -> None:
    """Fixed bug: plain JAX was taken for the plainest backend, which is plain NumPy."""
    cached = costs("numpy", step=(1e-5, 9e-10), sizes=(100_000, 1_000_000))
    plain = costs("jax", overhead=0.1, step=(1e-5, 8e-10))
    answer = recommend([cached, plain, FAST], ask(rows=100_000_000), {}, excluded=["numpy"])
    assert answer.plainest == "numpy"
    rows = rendered(answer_page(answer, [])).splitlines()
    assert any(row.startswith("numba:parallel") and "≤" in row for row in rows)


def rendered(page: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(page)
    return out.getvalue()
