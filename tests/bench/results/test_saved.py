"""Test how files without a valid record or without times are refused or left out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.results.record import Record, RecordError
from tests.support.command import descentbench
from tests.support.records import record
from tests.support.runs import SMALL, chosen, only_record


def call(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    record(name="whole", sizes=[(100, 1)]).save(tmp_path / "run-1.json")
    early = replace(record(name="early", sizes=[(100, 1)]), tasks={}, complete=False)
    early.save(tmp_path / "run-2.json")
    return tmp_path


@pytest.mark.parametrize("names", [("early", "whole"), ("whole", "early")])
def test_compare_of_a_run_without_a_step_is_a_line(store: Path, names: tuple[str, str]) -> None:
    code, out, err = call("compare", *names, "--store", store)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "holds no timed step" in err
    assert str(store / "run-2.json") in err


def test_compare_takes_the_run_of_a_name_that_has_steps(store: Path) -> None:
    record(name="early", sizes=[(100, 1)], seed=1).save(store / "run-0.json")
    code, _, _ = call("compare", "whole", "early", "--store", store)
    assert code == 0


def test_a_report_of_a_run_without_a_step_is_a_page_or_a_line(
    store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    page = tmp_path / "page.html"
    code, _, err = call("report", store / "run-2.json", "-o", page)
    assert code in (0, 2)
    assert (code == 0) == page.exists()
    assert err.count("\n") <= 1


def test_what_run_prints_stands_for_its_record(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    asked = (*SMALL, *chosen("numpy"), "--passes", 1, "--store", tmp_path / "store", "--json")
    printed = tmp_path / "r.json"
    printed.write_text(descentbench(tmp_path, *asked).stdout)
    kept = only_record(tmp_path / "store")
    assert Record.load(printed) == Record.load(kept)
    page = tmp_path / "page.html"
    assert call("report", printed, "-o", page)[0] == 0
    assert page.stat().st_size > 50_000

    kept.unlink()
    code, _, err = call("report", printed, "-o", page)
    assert (code, err.count("\n")) == (2, 1)
    assert f"the record instead, a file in the store of that run; {kept} no longer" in err


def test_what_an_older_run_printed_says_where_records_are(tmp_path: Path) -> None:
    printed = tmp_path / "r.json"
    printed.write_text(json.dumps({"schema": 1, "machine": {}, "results": [], "noise": []}))
    with pytest.raises(RecordError, match=r"in the store, \.benchmarks by default$"):
        Record.load(printed)


def test_what_names_itself_is_not_followed_for_ever(tmp_path: Path) -> None:
    printed = tmp_path / "r.json"
    document = {"schema": 1, "machine": {}, "results": [], "record": str(printed)}
    printed.write_text(json.dumps(document))
    with pytest.raises(RecordError):
        Record.load(printed)


@pytest.mark.parametrize("command", [("report",), ("compare", "whole"), ("plot",)])
def test_a_file_of_pytest_benchmark_is_named_so(store: Path, command: tuple[str, ...]) -> None:
    file = store / "benchmarks.json"
    document = {"machine_info": {}, "commit_info": {}, "benchmarks": [], "version": "5.2.3"}
    file.write_text(json.dumps(document))
    code, _, err = call(*command, file, "--store", store)
    assert (code, err.count("\n")) == (2, 1)
    assert f"{file} is a file of pytest-benchmark" in err
