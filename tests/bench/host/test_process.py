"""Test child processes: their output, their time limit, and that no process is left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.host.process import PARENT, Watch, call
from tests.support.processes import left_over, wait_until

SLEEPER = "import time; time.sleep(600)"

DEAF = """
import signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("begun", flush=True)
"""
"""Program that ignores signals to end and starts a child process of its own."""


def run(folder: Path, code: str, patience: Callable[[], bool] = lambda: True) -> int | None:
    return call(
        [sys.executable, "-c", code],
        os.environ | {"MARK": str(folder)},
        *(folder, folder / "log", patience),
    )


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_a_child_says_how_it_ended_and_its_output_is_kept(tmp_path: Path) -> None:
    assert run(tmp_path, "import os; os.write(1, b'\\xff\\0'); os.write(2, b'!'); exit(3)") == 3
    assert (tmp_path / "log").read_bytes() == b"\xff\0!"
    assert run(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)") == -9


@linux
def test_what_a_child_leaves_behind_neither_delays_us_nor_stays(tmp_path: Path) -> None:
    looks = iter(range(600))  # 60 s; the program's child sleeps for 600 s
    assert run(tmp_path, DEAF, lambda: next(looks, None) is not None) == 0
    wait_until(lambda: not left_over(tmp_path))


@linux
@pytest.mark.parametrize("how", ["patience ends", "Ctrl-C"])
def test_a_deaf_child_and_its_child_end_at_once(tmp_path: Path, how: str) -> None:
    def patience() -> bool:
        if (tmp_path / "log").read_bytes() != b"begun\n":
            return True
        if how == "Ctrl-C":
            raise KeyboardInterrupt
        return False

    code = DEAF + SLEEPER
    if how == "Ctrl-C":
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, code, patience)
    else:
        assert run(tmp_path, code, patience) is None
    wait_until(lambda: not left_over(tmp_path))


@linux
def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    child = "from bench.host.process import end_with_parent\nend_with_parent()\n"
    child += "import os, time\nopen('up', 'w').close()\ntime.sleep(600)"
    parent = (
        "import os, sys\nfrom pathlib import Path\nfrom bench.host.process import call\n"
        f"command = [sys.executable, '-c', {child!r}]\n"
        "call(command, os.environ, Path(), Path('log'), lambda: True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=tmp_path, env=os.environ | {"MARK": str(tmp_path)}
    ) as process:
        wait_until(lambda: (tmp_path / "up").exists())
        assert len(left_over(tmp_path)) == 2
        process.kill()
    wait_until(lambda: not left_over(tmp_path))


@linux
def test_a_child_whose_parent_is_gone_already_ends(tmp_path: Path) -> None:
    code = "from bench.host.process import end_with_parent; end_with_parent()"
    env = os.environ | {PARENT: "1"}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -9


# patience


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("bench.host.process.time.monotonic", lambda: now[0])
    return now


def test_every_row_has_its_own_time(tmp_path: Path, clock: list[float]) -> None:
    running = tmp_path / "running"
    watch = Watch(running, timeout=10, budget=100)
    assert watch()
    for row in ("a", "b", "c"):
        clock[0] += 9
        running.write_text(row)
        assert watch()
        assert watch.row == row
    clock[0] += 10
    assert not watch()
    assert (watch.row, watch.seconds) == ("c", 37)


def test_all_rows_together_have_a_budget(tmp_path: Path, clock: list[float]) -> None:
    running = tmp_path / "running"
    watch = Watch(running, timeout=10, budget=25)
    for i in range(3):
        running.write_text(str(i))
        assert watch()
        clock[0] += 9
    assert not watch()
