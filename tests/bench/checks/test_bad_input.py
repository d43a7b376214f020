"""Test that checks that cannot start end with exit code 2 and one line.

Exit code 1 is for a check whose figures do not pass.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.checks import autograd_cost, pick, shared_pages, simulation
from bench.host.files import StoreError
from bench.measure.shared import VARIABLE, Shared


def test_a_record_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed bug: the exit code was 1 instead of 2."""
    monkeypatch.setattr(autograd_cost, "apply", lambda: 1)
    monkeypatch.setattr(autograd_cost, "cases", lambda sizes, losses: ())
    file = tmp_path / "file"
    file.touch()
    done = CliRunner().invoke(autograd_cost.main, ["--store", str(file)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"descentbench: cannot write {file / '.lock'}: File exists\n"


def test_a_machine_without_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed bug: the exit code was 1 instead of 2."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(shared_pages, "apply", lambda: 1)
    absent = Shared(tmp_path / "absent")
    monkeypatch.setattr(shared_pages.shared, "of_this_process", lambda: absent)
    done = CliRunner().invoke(shared_pages.main, ["--rows", "1000"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "descentbench: there is no shared memory for 1000 rows\n"


def test_a_check_that_cannot_measure_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fixed bug: there was a traceback, and the exit code was 1 instead of 2."""

    def fails(*_: object) -> None:
        raise StoreError("cannot write results: No space left on device")

    monkeypatch.setattr(pick, "apply", lambda: 1)
    monkeypatch.setattr(pick, "check_picks", fails)
    done = CliRunner().invoke(pick.main, ["--loss", "log_loss"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "descentbench: cannot write results: No space left on device\n"


@pytest.mark.parametrize("option", ["--games=0", "--first=-1"])
def test_a_simulation_of_nothing_is_refused(option: str) -> None:
    """Fixed bug: a simulation of no games ended in a traceback."""
    assert CliRunner().invoke(simulation.main, [option]).exit_code == 2
