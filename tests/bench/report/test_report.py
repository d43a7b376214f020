"""Test the report, plots and saved results without a browser: content and errors."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from bench.checks.compare import BACKENDS, judge, slow_down
from bench.cli import main
from bench.commands.options import Format
from bench.pick.model import CostModel
from bench.report.content import content
from bench.report.sources import Shape, sources
from bench.report.style import styles
from bench.results.record import Record, RecordError
from bench.results.saved import Saved, find, only
from bench.results.summary import summarise
from bench.show.formats import csv_text, flat, markdown_text, results_csv
from bench.show.table import HEADINGS, results_markdown
from tests.support.records import COSTS, LAPTOP, SERVER, record

SMALL = [(100, 1), (1_000_000, 1)]


def saved(*records: Record) -> list[Saved]:
    return [Saved(Path(f"{i}.json"), r) for i, r in enumerate(records)]


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


# sources


def test_records_of_one_machine_and_code_are_one_source() -> None:
    later = record(sizes=[(1000, 1)], created="2026-11-22T10:00:00.000+00:00")
    other = record(code="fedcba987654", created="2026-11-19T10:00:00.000+00:00")
    found = sources(saved(record(sizes=SMALL), later, other, record(SERVER, sizes=SMALL)))
    assert [len(s.records) for s in found] == [2, 1, 1]
    assert {r.rows for r in found[0].results} == {100, 1000, 1_000_000}
    assert len({s.label for s in found}) == 3
    assert found[1].label == "Made-up Server CPU (32 threads)"
    assert "fedcba987654" in found[2].label


def test_of_a_row_the_newest_result_counts() -> None:
    newer = record(
        sizes=SMALL,
        failed={"numpy/100x1/float32": "w is wrong"},
        created="2026-11-22T10:00:00.000+00:00",
    )
    (source,) = sources(saved(newer, record(sizes=SMALL)))
    bad = [r for r in source.results if not r.verified]
    assert [(r.backend, r.rows, r.reason) for r in bad] == [("numpy", 100, "w is wrong")]


def test_a_gpus_memory_is_its_own() -> None:
    gpu = {"name": "G", "memory_bytes": 80 * 10**9, "driver": "1"}
    (source,) = sources(saved(record(LAPTOP | {"gpus": [gpu]}, sizes=SMALL)))
    assert source.memory_bytes == {"cpu": 16 * 10**9, "cuda:0": 80 * 10**9}
    assert source.label.endswith(", G")


def test_the_plainest_model_is_the_first_as_for_pick() -> None:
    """Fixed bug: plain JAX came before plain NumPy, because the order was alphabetical."""
    costs = dict.fromkeys(("torch", "numpy:blocked", "jax", "numpy", "numba"), COSTS["numpy"])
    (source,) = sources(saved(record(sizes=SMALL, costs=costs)))
    plainest = [m.backend for m in source.models[Shape(1, "float32")]]
    assert plainest == ["numpy", "numba", "torch", "jax", "numpy:blocked"]


def test_the_page_holds_no_number_that_json_has_not() -> None:
    text = json.dumps(content(sources(saved(record(sizes=SMALL)))), allow_nan=False)
    data = json.loads(text)
    (curve, *_) = [c for c in data["curves"] if c["rows"] == 100]
    assert curve["gap"] == sorted(curve["gap"], reverse=True)
    assert data["tutorial"]["w"] == pytest.approx(2.147, abs=1e-3)


# random draws, as on the page


def test_two_backends_draw_apart() -> None:
    (source,) = sources(saved(record(sizes=SMALL)))
    a, b = (m.totals(1e5, 1000) for m in source.models[Shape(1, "float32")][:2])
    import numpy as np

    assert abs(np.corrcoef(np.argsort(a), np.argsort(b))[0, 1]) < 0.1
    assert isinstance(source.models[Shape(1, "float32")][0], CostModel)


# looks


def test_no_two_backends_look_alike() -> None:
    names = [*COSTS, "torch@cuda:0", "torch:graph@cuda:0", "torch:compile", "jax", "numba"]
    looks = styles(names)
    assert len({(s.colour, s.mark, s.dash, s.hollow) for s in looks.values()}) == len(names)
    assert looks["torch@cuda:0"].hollow
    assert looks["torch"].colour == looks["torch:compile"].colour


# formats


def test_csv_has_the_figures_in_full() -> None:
    results = summarise(record(sizes=SMALL))
    lines = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert len(lines) == len(results)
    for line, result in zip(lines, results, strict=True):
        assert result.step_s is not None
        assert float(line["step_s"]) == result.step_s.median
        assert float(line["step_s_low"]) == result.step_s.low
        assert line["backend"] == result.backend


def test_csv_quotes_what_needs_it() -> None:
    text = csv_text([{"a": 'x,"y"\n', "b": None}])
    assert text == 'a,b\r\n"x,""y""\n",\r\n'
    assert csv_text([]) == "\r\n"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_holds_no_formula(text: str) -> None:
    """Check that a spreadsheet shows any text as text, even a text that begins with "="."""
    (line,) = csv.DictReader(io.StringIO(csv_text([{"text": text, "number": -1}]), newline=""))
    assert line == {"text": f"'{text}", "number": "-1"}
    assert flat({"s": {"median": 1, "low": 0, "high": 2}, "n": 3}) == {
        "s": 1,
        "s_low": 0,
        "s_high": 2,
        "n": 3,
    }


def test_markdown_tables_are_tables() -> None:
    text = markdown_text(("a", "b"), [("x|y", "1")])
    assert text == "| a | b |\n| :-- | --: |\n| x\\|y | 1 |\n"
    page = results_markdown(
        summarise(record(sizes=SMALL, failed={"numpy/100x1/float32": "no"}))
    )
    assert page.count("| backend |") == 2
    assert "failed: numpy: no" in page
    assert "gram: for least squares only" in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert widths == {len(HEADINGS) + 1}


@pytest.mark.parametrize("output", ["markdown", "csv", "json"])
def test_backends_prints_every_format(output: Format) -> None:
    code, out, _ = call("backends", "--format", output)
    assert code == 0
    assert "numpy:blocked" in out


# saved results


def test_a_result_is_found_by_name_stem_revision_file_and_folder(tmp_path: Path) -> None:
    one = record(sizes=SMALL, name="before", revision="abcdef0123")
    two = record(sizes=SMALL, created="2026-11-22T10:00:00.000+00:00", complete=False)
    one.save(tmp_path / "run-1.json")
    two.save(tmp_path / "run-2.json")
    (tmp_path / "run-3.json").write_text("{")
    for what in ("before", "run-1", "abcdef0", str(tmp_path / "run-1.json")):
        assert [s.record.name for s in find(what, tmp_path)] == ["before"]
    both = find(str(tmp_path), tmp_path)
    assert [s.path.name for s in both] == ["run-1.json", "run-2.json"]
    assert only(both).path.name == "run-1.json"  # the other run was interrupted
    with pytest.raises(RecordError, match="it is neither a file, nor the name or git revision"):
        find("abc", tmp_path)
    with pytest.raises(RecordError, match="is not a result file"):
        find(str(tmp_path / "run-3.json"), tmp_path)
    (tmp_path / "empty").mkdir()
    for nowhere in ("empty", "not there"):
        with pytest.raises(RecordError, match="has no results: 'descentbench run'"):
            find(str(tmp_path / nowhere), tmp_path / nowhere)


# the commands


@pytest.fixture
def store(tmp_path: Path) -> Path:
    record(sizes=[(n, d) for d in (1, 32) for n in (100, 10_000, 1_000_000)]).save(
        tmp_path / "run-1.json"
    )
    return tmp_path


def test_report_names_the_page(store: Path) -> None:
    page = store / "page.html"
    code, out, _ = call("report", "--store", str(store), "-o", str(page))
    assert (code, out) == (0, f"report: {page}\n")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_report_refuses_in_a_line(store: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "file").write_text("")
    for arguments, says in {
        ("nothing",): "no result 'nothing'",
        (str(tmp_path / "bad"),): "has no results",
        ("-o", str(tmp_path / "file" / "x.html")): "cannot write",
    }.items():
        code, out, err = call("report", "--store", str(store), *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err


def test_a_missing_library_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    code, _, err = call("report", "--store", str(store), "-o", str(store / "x.html"))
    assert code == 2
    assert err.count("\n") == 1
    assert "needs jinja2, which is not installed: pip install jinja2" in err


@pytest.mark.parametrize("there", [True, False])
def test_open_shows_the_page(store: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: shown.append(url) or there)
    page = store / "page.html"
    code, out, err = call("report", "--store", str(store), "-o", str(page), "--open")
    assert (code, out) == (0, f"report: {page}\n")
    assert shown == [page.as_uri()]
    assert ("no browser was found" in err) is not there


def test_plot_draws_every_figure_of_every_shape(store: Path) -> None:
    code, out, _ = call("plot", "--store", str(store), "-o", str(store / "plots"), "-f", "svg")
    assert code == 0
    names = [Path(line).name for line in out.splitlines()]
    kinds = ("scaling", "bandwidth", "cost", "map")
    assert names == [f"{k}-{d}-float32.svg" for d in (1, 32) for k in kinds]
    for line in out.splitlines():
        text = " ".join(ET.parse(line).getroot().itertext())  # noqa: S314 the file is made here
        assert "numba:parallel" in text
    again = [Path(line).read_bytes() for line in out.splitlines()]
    call("plot", "--store", str(store), "-o", str(store / "plots"))
    assert [Path(line).read_bytes() for line in out.splitlines()] == again


def test_plot_refuses_in_a_line(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (store / "file").write_text("")
    code, _, err = call("plot", "--store", str(store), "-o", str(store / "file" / "x"))
    assert code == 2
    assert "cannot write" in err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = call("plot", "--store", str(store), "-o", str(store / "plots"))
    assert code == 2
    assert err.endswith("pip install matplotlib\n")


# the check of compare


def test_the_check_finds_what_it_slowed_down() -> None:
    costs = {b: COSTS[b] for b in BACKENDS}
    old, new = (record(costs=costs, sizes=SMALL, passes=5, seed=s) for s in (0, 1))
    repeat = judge(old, new, "jax:loop")
    assert repeat.flagged == ()
    assert repeat.right
    assert slow_down(new, "jax:loop", 1.0) == new
