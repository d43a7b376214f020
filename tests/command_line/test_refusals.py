"""Test that missing libraries and results that cannot be compared are reported in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from backends import names
from backends.names import Library
from bench.cli import main
from bench.measure import runner as measure
from bench.results.record import Outcome
from tests.support.records import COSTS, record

ABSENT = Library("numb", "backends.absent", needs="no_such_library", install="pip install numb")


def test_a_library_that_is_left_out_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Fixed bug: a missing library was left out silently."""
    measured = record(costs={"numpy": COSTS["numpy"]})
    monkeypatch.setattr(names, "BUILT_IN", names.BUILT_IN[:1])
    monkeypatch.setattr(measure, "side_by_side", lambda *_, **__: [measured])
    names.register(ABSENT)
    try:
        words = ["run", "-b", "num*", "--rows", "100", "--store", str(tmp_path)]
        result = CliRunner().invoke(main, words)
    finally:
        names.unregister(ABSENT.name)
    assert result.stderr.splitlines() == [
        "descentbench: numb is left out: numb is not installed: pip install numb"
    ]


def test_a_result_without_a_timing_is_refused_in_a_line(tmp_path: Path) -> None:
    """Fixed bug: a result without any timed step caused an IndexError."""
    whole = record(name="whole")
    whole.save(tmp_path / "run-1.json")
    empty = {"set-up": Outcome(failures={whole.request["rows"][0]: "it took too long"})}
    replace(whole, name="empty", tasks=empty).save(tmp_path / "run-2.json")
    replace(whole, name="stopped", tasks={}).save(tmp_path / "run-3.json")
    for pair in (("whole", "empty"), ("stopped", "whole")):
        result = CliRunner().invoke(main, ["compare", *pair, "--store", str(tmp_path)])
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert "holds no timed step" in line
