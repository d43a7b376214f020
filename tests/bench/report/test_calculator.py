"""Test that the page's calculator answers as ``pick`` does, and draws the same models."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.pick.fitting import fit
from bench.pick.observations import alike
from bench.pick.recommend import Request, recommend
from bench.pick.regime import Regime
from bench.report.page import write
from bench.report.sources import Shape, Source, sources
from bench.results.saved import Saved
from tests.support.browser import Watched
from tests.support.records import COSTS, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_calculator_answers_as_pick_does(watched: Watched, found: list[Source]) -> None:
    rng, seen = random.Random(0), set()
    for _ in range(36):
        at = rng.randrange(len(found))
        shape, models = rng.choice(list(found[at].models.items()))
        seen.add(shape.loss)
        asked = {
            "rows": round(10 ** rng.uniform(1, 11)),
            "iterations": round(10 ** rng.uniform(0, 6)),
            "memory": rng.choice([2e8, 4e9, 1e12]),
            "loopOnly": rng.random() < 0.5,
        }
        where = {"source": at, **shape._asdict()}
        answer = watched.page.evaluate(
            """request => {
                const { lines, ...rest } = descentbench.answer(request);
                return {...rest, lines: lines.map(({ model, ...line }) => line)};
            }""",
            asked | where,
        )
        request = Request(
            *(asked["rows"], shape.features, asked["iterations"], shape.dtype),
            found[at].memory_bytes | {"cpu": int(asked["memory"])},
            asked["loopOnly"],
            shape.loss,
        )
        expected = recommend(models, request, {})
        assert answer["pick"] == expected.pick
        assert answer["loopPick"] == expected.loop_pick
        assert tuple(answer["tied"]) == expected.tied
        assert answer["fits"] == expected.fits
        assert [line["backend"] for line in answer["lines"]] == [
            c.backend for c in expected.candidates
        ]
        for line in answer["lines"]:
            c = expected.of(line["backend"])
            assert c.total_s is not None
            assert line["total"] == pytest.approx(vars(c.total_s), rel=1e-9)
            assert line["breakEven"] == pytest.approx(c.break_even_iterations)
            assert line["fits"] == c.fits
            assert int(line["needs"]) == pytest.approx(c.needs_bytes, abs=1)
    assert seen == {"squared_error", "log_loss"}


def test_the_calculator_says_it_in_words(watched: Watched, found: list[Source]) -> None:
    page = watched.page
    page.fill("[name=rows]", "1e6")
    page.fill("[name=iterations]", "100000")
    page.check("[name=loop_only]")
    first = found[0]
    request = Request(10**6, 1, 10**5, "float32", first.memory_bytes, loop_only=True)
    pick = recommend(first.models[Shape(1, "float32")], request, {}).pick
    assert f"Use {pick} on the CPU: 1e5 iterations in" in page.inner_text("#answer")
    assert "gram" not in page.inner_text("#candidates")
    assert "a shorter total than numpy." in page.inner_text("#candidates caption")
    page.fill("[name=rows]", "many")
    assert "must be numbers above 0" in page.inner_text("#answer")
    assert page.get_attribute("[name=rows]", "aria-invalid") == "true"
    page.fill("[name=rows]", "1e13")
    assert "No backend fits" in page.inner_text("#answer")


def test_a_shape_with_another_loss_has_no_choice_of_gram(
    watched: Watched, found: list[Source]
) -> None:
    """Check that the choice "loops only" is shown for squared error only."""
    page = watched.page
    models = found[0].models[Shape(1, "float32", "log_loss")]
    request = Request(10**7, 1, 1000, "float32", found[0].memory_bytes, loss="log_loss")
    assert page.is_visible("[name=loop_only]")
    page.select_option("[name=shape]", "1 float32 log_loss")
    assert not page.is_visible("[name=loop_only]")
    assert f"Use {recommend(models, request, {}).pick} on" in page.inner_text("#answer")
    assert "float32, log_loss, on Made-up Laptop" in page.inner_text("#totals-title")
    assert page.is_visible("#map-loops")
    page.select_option("#shape", "1 float32 log_loss")
    assert not page.is_visible("#map-loops")
    drawn = page.locator("#scaling [data-source='0'] g[data-backend]")
    names = {g.get_attribute("data-backend") for g in drawn.all()}
    assert names == {r.backend for r in found[0].of_loss("log_loss")}
    assert page.locator("#map [data-source='0'] svg").count() == 1
    assert "squared error only" in page.inner_text("#convergence .missing >> nth=0")


def test_break_evens_are_where_the_model_has_them(
    watched: Watched, found: list[Source]
) -> None:
    """Compare the break-even points in the text with crossings of the models' totals."""
    page = watched.page
    page.check("[name=loop_only]")
    models = {
        m.backend: m
        for m in found[0].models[Shape(1, "float32")]
        if not m.backend.endswith("gram")
    }
    words = page.inner_text("#break-evens")
    changes = re.findall(r"([\w:]+) from ([\d,.e]+)", words)
    (before,) = re.findall(r": ([\w:]+) up to", words)
    assert changes
    for after, text in changes:
        a, b = models[before], models[after]
        gain = a.step_s(1e7) - b.step_s(1e7)
        crossing = (b.setup_s(1e7) - a.setup_s(1e7)) / gain
        assert float(text.replace(",", "")) == pytest.approx(crossing, rel=0.06)
        best = min(models.values(), key=lambda m: m.total_s(1e7, 1.01 * crossing))
        assert best.backend == after
        before = after
    # one ring per change of the fastest backend, one line per backend
    lines = page.locator("#totals g[data-backend] .line")
    assert lines.count() == len(models)
    assert page.locator("#totals g:not([data-backend]) .mark").count() == len(changes)


def test_the_choice_is_kept_in_the_address(browser: Browser, path: Path) -> None:
    first = Watched(browser, path)
    first.page.select_option("[name=source]", "1")
    first.page.fill("[name=rows]", "123456")
    first.page.fill("[name=iterations]", "77")
    first.page.check("[name=loop_only]")
    first.page.select_option("#shape", "32 float32")
    answer = first.page.inner_text("#answer")
    query = first.page.url.removeprefix(path.as_uri())
    first.page.close()
    again = Watched(browser, path, query)
    assert again.page.input_value("[name=rows]") == "123456"
    assert again.page.input_value("[name=source]") == "1"
    assert again.page.is_checked("[name=loop_only]")
    assert again.page.input_value("#shape") == "32 float32"
    assert again.page.inner_text("#answer") == answer
    assert "77 iterations" in answer
    again.page.close()


def test_the_calculator_answers_as_pick_does_with_a_loss(
    watched: Watched, found: list[Source], tmp_path: Path
) -> None:
    """Compare the page's answers with `recommend`, for results with two losses."""
    laptop = found[0]
    for k, one in enumerate(laptop.records):
        one.save(tmp_path / f"run-{k}.json")
    for loss in laptop.losses:
        shape = Shape(1, "float32", loss)
        records = alike(tmp_path, laptop.machine, laptop.records[-1].code, loss)
        regime = Regime.of(records, laptop.machine)
        models, _ = fit(records, shape.features, shape.dtype, regime)
        request = Request(10**7, 1, 1000, "float32", laptop.memory_bytes, loss=loss)
        ordered = sorted(models.values(), key=lambda m: m.backend)
        expected = recommend([m for m in ordered if m.complete], request, {})
        asked = {"source": 0, "rows": 10**7, "iterations": 1000, **shape._asdict()}
        answer = watched.page.evaluate(
            """request => {
                const { pick, lines } = descentbench.answer(request);
                return [pick, lines.map(({ backend, total }) => [backend, total])];
            }""",
            asked,
        )
        assert answer[0] == expected.pick
        assert dict(answer[1]) == {
            c.backend: pytest.approx(vars(c.total_s), rel=1e-9) for c in expected.candidates
        }


def test_a_backend_measured_far_away_is_left_out(browser: Browser, tmp_path: Path) -> None:
    """Fixed bug: times of 100 rows were used to predict 3·10⁷ rows."""
    pytest.importorskip("jinja2")
    near = {name: COSTS[name] for name in ("numpy", "numpy:blocked")}
    tiny = {"numba:parallel": COSTS["numba:parallel"]}
    records = [
        record(costs=near, sizes=[(10_000, 1), (1_000_000, 1)]),
        record(costs=tiny, sizes=[(100, 1)]),
    ]
    found = sources(Saved(tmp_path / f"{i}.json", r) for i, r in enumerate(records))
    write(tmp_path / "report.html", found)
    watched = Watched(browser, tmp_path / "report.html")
    page = watched.page
    page.fill("[name=rows]", "3e7")
    assert "Not measured near 3e7 rows, and therefore left out: numba:parallel." in (
        page.inner_text("#remarks")
    )
    assert "numba" not in page.inner_text("#candidates")
    shape = {"features": 1, "dtype": "float32", "loss": "squared_error", "source": 0}
    for rows in (100, 3_000, 30_000_000):
        got = page.evaluate(
            "asked => (({ pick, far }) => [pick, far])(descentbench.answer(asked))",
            shape | {"rows": rows, "iterations": 1_000_000},
        )
        request = Request(rows, 1, 1_000_000, "float32", found[0].memory_bytes)
        expected = recommend(found[0].models[Shape(1, "float32")], request, {})
        left = [c.backend for c in expected.candidates if c.total_s is None]
        assert got == [expected.pick, left]
    page.close()
