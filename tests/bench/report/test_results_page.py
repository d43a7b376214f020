"""Test the documentation's tables, which are made from records and placed between markers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.report import results_page
from bench.report.results_page import BEGIN, END, overview, saved
from bench.report.sources import sources
from bench.results.record import Record
from bench.results.saved import Saved
from bench.show.autograd import NAME
from tests.support.records import record

SIZES = [(100, 1), (10_000_000, 1), (1_000_000, 32)]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pages that contain the markers, and a store with one record."""
    monkeypatch.setattr(results_page, "PICTURES", ["scaling"])  # the map takes seconds
    (tmp_path / "results").mkdir()
    record(sizes=SIZES, name="laptop").save(tmp_path / "results" / "run-1.json")
    for name in ("README.md", "results.md", "losses.md"):
        (tmp_path / name).write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def call(folder: Path) -> None:
    where = ("--results", folder / "results", "--readme", folder / "README.md")
    arguments = [*where, "--page", folder / "results.md", "--losses", folder / "losses.md"]
    outcome = CliRunner().invoke(results_page.main, list(map(str, arguments)))
    assert outcome.exit_code == 0, outcome.output


def test_text_outside_the_markers_stays_and_a_second_call_changes_nothing(made: Path) -> None:
    pytest.importorskip("matplotlib")
    call(made)
    readme = (made / "README.md").read_text()
    assert readme.startswith(f"before\n{BEGIN}\n")
    assert readme.endswith(f"{END}\nafter\n")
    assert "old" not in readme
    first = [path.read_bytes() for path in sorted(made.rglob("*.*"))]
    call(made)
    assert [path.read_bytes() for path in sorted(made.rglob("*.*"))] == first


def test_every_table_stands_below_its_machine_date_and_revision(made: Path) -> None:
    pytest.importorskip("matplotlib")
    call(made)
    page = (made / "results.md").read_text()
    head, _, table = page.partition("## laptop: all backends")[2].partition("```text")
    assert "Made-up Laptop CPU (4 threads)" in head
    assert "measured 2026-11-20 at revision 0123456789ab" in head
    assert "1e7 rows, float32" in table
    images = [line for line in page.splitlines() if line.startswith("![")]
    assert len(images) == 2
    assert all((made / line.split("(")[1].rstrip(")")).is_file() for line in images)


def test_the_overview_is_ordered_by_the_largest_size_and_has_no_gram() -> None:
    one = Saved(Path("run-1.json"), record(sizes=SIZES))
    lines = overview(sources([one])[0]).splitlines()
    assert lines[0] == "| backend | setup, 1e7 × 1 | 100 × 1 | 1e7 × 1 | 1e6 × 32 |"
    names = [line.split("|")[1].strip() for line in lines[2:-2]]
    assert names == [
        *("`numba:parallel`", "`jax:loop`", "`torch:analytic`"),
        *("`numpy:blocked`", "`numpy`", "`torch`", "reading once"),
    ]


def test_a_limit_without_setup_is_not_the_overview_s(tmp_path: Path) -> None:
    whole = record(sizes=SIZES)
    request = whole.request | {"setup": False}
    limit = replace(whole, request=request, created="2026-11-21T10:00:00.000+00:00")
    limit.save(tmp_path / "run-2.json")
    with pytest.raises(results_page.PageError, match="setup"):
        results_page.newest_whole(saved(tmp_path))
    whole.save(tmp_path / "run-1.json")
    assert results_page.newest_whole(saved(tmp_path)).records[0].created == whole.created


def test_a_page_without_markers_is_left_alone(made: Path) -> None:
    (made / "README.md").write_text("no markers")
    with pytest.raises(results_page.PageError, match=r"README\.md has no lines"):
        results_page.write_between(made / "README.md", "text")
    assert (made / "README.md").read_text() == "no markers"


def test_the_documentation_shows_the_results_that_are_recorded() -> None:
    """Compare README.md and docs/ with the saved results (``nox -s results`` updates them)."""
    found = saved(ROOT / "results")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{BEGIN}\n\n{results_page.readme_tables(found)}\n{END}" in readme
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    losses = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
    costs = [one for one in found if one.record.name == NAME]
    for one in costs[:1]:  # only the newest record is shown
        assert results_page.describe(one.record) in losses
    for one in found:
        has_table = one not in costs and not one.path.name.startswith("pick-")
        if has_table:  # picks have no table
            assert results_page.describe(one.record) in page, one.path


def limit_of(loss: str, **fields: Any) -> Record:
    """Return a record like those of ``run --limit --loss``."""
    whole = record(sizes=SIZES, loss=loss, name="limit", **fields)
    setup = {name for name in whole.tasks if name.startswith("set-up")}
    tasks = {name: task for name, task in whole.tasks.items() if name not in setup}
    return replace(whole, request=whole.request | {"setup": False}, tasks=tasks)


def test_readme_s_second_table_shows_each_library_s_best_with_log_loss(made: Path) -> None:
    pytest.importorskip("matplotlib")
    limit_of("log_loss").save(made / "results" / "run-2.json")
    limit_of("huber").save(made / "results" / "run-3.json")
    call(made)
    readme = (made / "README.md").read_text()
    head, _, second = readme.partition("Share of the read bandwidth that a step with")
    assert "| backend | setup" in head
    lines = [line for line in second.splitlines() if line.startswith("|")]
    assert lines[0] == "| `log_loss` | 1e7 × 1 | 1e6 × 32 |"  # 800 B are too few for a fraction
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *("`numba`", "`jax`", "`torch`", "`numpy`")
    ]
    assert all(cell.strip().endswith("%") for cell in lines[2].split("|")[2:-1])
    page = (made / "results.md").read_text()
    assert "## limit: the roofline, log_loss" in page
    assert "## laptop: all backends\n" in page


def test_a_newer_run_of_another_loss_leaves_the_overview(tmp_path: Path) -> None:
    record(sizes=SIZES).save(tmp_path / "run-1.json")
    later = {"code": "fedcba987654", "created": "2026-11-22T10:00:00.000+00:00"}
    record(sizes=SIZES, loss="log_loss", **later).save(tmp_path / "run-2.json")
    newest = results_page.newest_whole(saved(tmp_path))
    assert newest.losses == ["squared_error"]
    assert overview(newest)


def autograd_cost() -> Record:
    """Return a record like those of ``nox -s autograd-cost``, for two losses."""
    one, two = (limit_of(loss) for loss in ("log_loss", "huber"))
    rows = [*one.request["rows"], *two.request["rows"]]
    tasks = one.tasks | {f"{name} ": task for name, task in two.tasks.items()}
    return replace(one, request=one.request | {"rows": rows}, tasks=tasks, name=NAME)


def test_the_cost_of_autograd_has_a_table_and_a_picture_of_its_own(made: Path) -> None:
    pytest.importorskip("matplotlib")
    before = (made / "losses.md").read_text()
    call(made)
    assert (made / "losses.md").read_text() == before  # there is no such record
    autograd_cost().save(made / "results" / "run-2.json")
    call(made)
    page = (made / "losses.md").read_text()
    assert "Made-up Laptop CPU" in page
    assert "(pictures/autograd.svg)" in page
    assert "| backend | gradient | `log_loss` | `huber` |" in page
    torch = next(line for line in page.splitlines() if line.startswith("| `torch` | autograd"))
    assert re.search(r"\([89](\.\d)?×\)", torch)  # torch:analytic is 9 times faster at 100 rows
    svg = (made / "pictures" / "autograd.svg").read_text()
    assert "torch:analytic" in svg
    assert NAME not in (made / "results.md").read_text()
    assert NAME not in (made / "README.md").read_text()
