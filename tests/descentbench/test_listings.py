"""Test the tables of backends and of saved results."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import descentbench
from bench.cli import main
from tests.support import records


def test_backends_are_those_of_the_command(capfd: pytest.CaptureFixture[str]) -> None:
    for loss in ("squared_error", "huber"):
        printed = CliRunner().invoke(main, ["backends", "--loss", loss, "--json"]).stdout
        assert descentbench.backends(loss) == json.loads(printed)
    assert capfd.readouterr() == ("", "")


def test_results_of_a_folder_a_file_and_a_name(tmp_path: Path) -> None:
    for name in ("before", "after"):
        records.record(name=name).save(tmp_path / f"run-{name}.json")
    rows = descentbench.results(tmp_path)
    one = descentbench.results(tmp_path / "run-after.json")
    assert len(rows) == 2 * len(one)
    assert {row["name"] for row in rows} == {"before", "after"}
    assert one == descentbench.results("after", store=tmp_path)
    assert one[0]["step_s_low"] <= one[0]["step_s"] <= one[0]["step_s_high"]
    assert one[0]["cpu"] == "Made-up Laptop CPU"
    assert one[0]["record"] == str(tmp_path / "run-after.json")


def test_results_have_the_columns_of_the_command(tmp_path: Path) -> None:
    records.record().save(tmp_path / "run-1.json")
    from bench.show.formats import RESULT_COLUMNS

    assert {*RESULT_COLUMNS} <= descentbench.results(tmp_path)[0].keys()


def test_results_make_a_data_frame(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    records.record().save(tmp_path / "run-1.json")
    frame = pd.DataFrame(descentbench.results(tmp_path))
    assert frame.groupby("backend")["step_s"].min()["numpy"] > 0
    written = frame.to_csv()
    assert len(list(csv.DictReader(written.splitlines()))) == len(frame)


def test_no_results_are_an_error_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(descentbench.DescentbenchError, match="has no results") as caught:
        descentbench.results(tmp_path)
    assert "\n" not in str(caught.value)
