"""Test ``pick --loss``: measurements with another loss are not used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from backends import catalogue
from backends.losses import HUBER, LOG_LOSS, SQUARED_ERROR
from backends.names import Name
from bench.cli import main
from bench.pick.observations import alike, observations
from bench.pick.pipeline import candidates
from bench.results.case import Case
from bench.results.record import Measurement, Outcome, Record
from tests.support.backends import NUMPY_LOOPS
from tests.support.records import LAPTOP

ASKED = {"backends": ["numpy*"], "devices": [], "libraries": []}


def measured(loss: str, seconds: float) -> Record:
    case = str(Case("numpy", 1000, 1, "float32", loss))
    step = Measurement("step", case, (seconds,))
    read = Measurement("read", str(Case.parse(case).read), (1e-6,), 1, {"bytes": 8000})
    asked = {**ASKED, "names": ["numpy"], "loop_only": False, "loss": loss}
    created = "2026-01-01T00:00:00.000+00:00"
    tasks = {"steps": Outcome((step, read))}
    return Record(created, {"rows": [], "pick": asked}, LAPTOP, "code", tasks, complete=True)


def test_times_of_another_loss_are_not_used(tmp_path: Path) -> None:
    measured("squared_error", 1.0).save(tmp_path / "pick-1.json")
    measured("log_loss", 9.0).save(tmp_path / "run-2.json")
    for loss, seconds in (("squared_error", 1.0), ("log_loss", 9.0)):
        known = alike(tmp_path, LAPTOP, "code", loss)
        steps = observations(known, 1, "float32")["numpy"].step
        assert [sample.value for sample in steps] == [seconds]
    assert alike(tmp_path, LAPTOP, "code") == alike(tmp_path, LAPTOP, "code", "squared_error")


def test_an_earlier_pick_of_another_loss_chose_among_others() -> None:
    earlier = [measured("squared_error", 1.0)]
    names, _ = candidates(earlier, ASKED, SQUARED_ERROR, loop_only=False)
    assert names == ["numpy"]
    names, missing = candidates(earlier, ASKED, LOG_LOSS, loop_only=False)
    assert names == NUMPY_LOOPS
    assert "XᵀX" in missing["numpy:gram"]


def test_pick_answers_for_a_loss(tmp_path: Path) -> None:
    if reason := catalogue.reason_against(Name("numpy"), HUBER):
        pytest.skip(reason)
    asked = [
        "pick",
        "--loss",
        "huber",
        "--rows",
        "1000",
        "--iterations",
        "20",
        "--budget",
        "20",
        "-b",
        "numpy*",
    ]
    result = CliRunner().invoke(main, [*asked, "--store", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["pick"] in NUMPY_LOOPS
    assert document["request"]["loss"] == "huber"
    (path,) = tmp_path.glob("pick-*.json")
    rows = {m.row for o in Record.load(path).tasks.values() for m in o.measurements}
    assert {Case.parse(row).loss for row in rows if row.startswith("numpy")} == {"huber"}
