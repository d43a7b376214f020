"""Test `descentbench.pick`, which returns the command's answer as an object."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

import descentbench
from backends.losses import HUBER, find
from bench.cli import main
from bench.pick import planner, several_machines
from descentbench.log import LOG
from tests.support.world import World

ASKED = {"backends": ["numpy*"], "rows": 2e4, "iterations": 500}
COMMAND = ("pick", "--backend", "numpy*", "--rows", "20000", "--iterations", "500")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(several_machines, "installed", lambda: False)
    return World(monkeypatch)


def test_the_answer_is_that_of_the_command(
    world: World, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = descentbench.pick(**ASKED, store=tmp_path)  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")
    measured = len(world.tasks)
    assert measured
    printed = CliRunner().invoke(main, [*COMMAND, "--store", str(tmp_path), "--json"]).stdout
    assert len(world.tasks) == measured  # the command answered from the same store
    document = json.loads(printed)
    mine = json.loads(json.dumps(found.to_dict()))
    assert document["pick"] == mine["pick"] == found.backend
    assert document["loop_pick"] == found.loop_backend
    assert document["backends"] == mine["backends"]
    assert tuple(document["tied"]) == found.tied
    assert document["why"].split(".")[0] == str(found).split(".")[0]
    first = document["backends"][0]["total_s"]
    by_name = {line["backend"]: line for line in found.table}
    low, middle, high = found.seconds
    assert low <= middle <= high
    assert by_name[found.backend]["total_s"] == middle
    assert found.table[0]["total_s"] == first["median"]
    assert found.answer.pick == found.backend


def test_progress_is_logged(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, LOG.name):
        found = descentbench.pick(**ASKED, store=tmp_path)  # type: ignore[arg-type]
    said = [record.message for record in caplog.records]
    assert any(line.startswith("pick: 0 % of the budget: ") for line in said)
    assert any("so far numpy" in line for line in said)
    assert f"pick: {found.why}" in said


def test_really_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planner, "PASSES", 1)
    how = {"backends": ["numpy"], "memory": 400_000_000, "budget": 20.0}
    found = descentbench.pick(20_000, iterations=50, **how, store=tmp_path)  # type: ignore[arg-type]
    assert found.backend == "numpy"
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_is_a_keyboard_interrupt_and_the_next_call_goes_on(
    world: World, tmp_path: Path
) -> None:
    world.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        descentbench.pick(**ASKED, store=tmp_path)  # type: ignore[arg-type]
    world.stop_after = None
    descentbench.pick(**ASKED, store=tmp_path)  # type: ignore[arg-type]
    names = [task.name for task in world.tasks]
    assert len(names) == len({*names})  # nothing was measured twice


def test_a_loss_must_be_importable_by_other_processes(world: World, tmp_path: Path) -> None:
    found = descentbench.pick(**ASKED, loss=HUBER, store=tmp_path)  # type: ignore[arg-type]
    assert found.answer.request.loss == "huber"
    file = tmp_path / "mine.py"
    file.write_text("def mine(xp, p, y):\n    return (p - y) * (p - y)\n")
    with pytest.raises(descentbench.ProblemError, match="give your loss as FILE"):
        descentbench.pick(100, loss=find(f"{file}:mine"), store=tmp_path)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"rows": 0}, "rows must be a whole number of at least 1, not 0"),
        ({"rows": 10.5}, "rows must be a whole number of at least 1, not 10.5"),
        ({"rows": 10, "memory": 0}, "memory must be a whole number of at least 1, not 0"),
        ({"rows": 10, "dtype": "int8"}, "dtype must be float32 or float64, not int8"),
        ({"rows": 10, "backends": ["nunpy"]}, "did you mean 'numpy'"),
        ({"rows": 10, "devices": ["cuda:9"], "backends": ["numpy"]}, "has no device 'cuda:9'"),
        ({"rows": 10, "loss": "hinge"}, "there is no loss 'hinge'"),
        ({"rows": 10, "iterations": 0}, "iterations must be a whole number of at least 1"),
        ({"rows": 10, "budget": 0}, "budget must be a finite number above 0, not 0"),
        ({"rows": 10, "threads": 10**6}, "threads must be a whole number from 1 to"),
    ],
)
def test_errors_are_exceptions_of_one_line(
    how: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(descentbench.DescentbenchError, match=reason) as caught:
        descentbench.pick(**how, store=tmp_path)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_nothing_to_recommend_is_an_error(world: World, tmp_path: Path) -> None:
    world.stop_after = None
    with pytest.raises(descentbench.BackendError, match="Nothing can be recommended"):
        descentbench.pick(100, backends=["numpy"], budget=1e-9, store=tmp_path)
