"""The documentation's tables are made from recorded results, and only between the markers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.report import results_page
from bench.report.results_page import BEGIN, END, overview, saved
from bench.report.sources import sources
from bench.results.saved import Saved
from tests.support.made_up import record

SIZES = [(100, 1), (10_000_000, 1), (1_000_000, 32)]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pages that have markers, and a store with one record."""
    monkeypatch.setattr(results_page, "PICTURES", ["scaling"])  # the map takes seconds
    (tmp_path / "results").mkdir()
    record(sizes=SIZES, name="laptop").save(tmp_path / "results" / "run-1.json")
    for name in ("README.md", "results.md"):
        (tmp_path / name).write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    return tmp_path


def call(folder: Path) -> None:
    where = ("--results", folder / "results", "--readme", folder / "README.md")
    arguments = [*where, "--page", folder / "results.md"]
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
    """After a new record or a change to the overview: ``nox -s results``."""
    found = saved(ROOT / "results")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = overview(results_page.newest_whole(found))
    assert f"{BEGIN}\n\n{table}\n{END}" in readme
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for one in found:
        assert results_page.describe(one.record) in page, one.path
