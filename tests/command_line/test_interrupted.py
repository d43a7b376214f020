"""Test runs that are interrupted or killed at any moment: only saved results stay."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.host.files import StoreError
from bench.host.interrupts import exit_code, interruptible, interrupts
from bench.host.lock import NAME, hold, hold_when_asked
from bench.results.record import Record
from tests.support.command import descentbench
from tests.support.processes import left_over, wait_until
from tests.support.runs import INTERRUPTIBLE, SMALL, chosen, declare_faulty

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

RUN = (*SMALL, *chosen("numpy", "numpy:blocked"), "--passes", 2, "--store", "store")

SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"

PICK = ("pick", "--rows", 1000, "--backend", "numpy", "--budget", 3, "--store", "store")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(folder: Path, *arguments: object, **streams: int) -> subprocess.Popen[bytes]:
    """Start the program in a folder whose packages it can import."""
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "MARK": str(folder)},
        **streams,
    )


def records(store: Path) -> list[Record]:
    """Return all records of a store; a damaged record is an error."""
    return [Record.load(path) for path in store.glob("*.json")]


@pytest.mark.parametrize("moment", [0.0, 1.3])
@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGKILL], ids=lambda n: n.name)
def test_at_any_moment_the_store_is_whole_and_nobody_stays(
    tmp_path: Path, number: signal.Signals, moment: float
) -> None:
    store = tmp_path / "store"
    with start(tmp_path, *RUN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        wait_until(lambda: (store / NAME).exists() or run.poll() is not None)
        time.sleep(moment)
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=60)
    wait_until(lambda: not left_over(tmp_path))
    for record in records(store):
        assert not record.complete
    with hold(store):  # the killed process no longer holds the lock
        pass
    assert stdout == b""
    if number == signal.SIGKILL:
        assert run.returncode == -number
    else:
        assert run.returncode == 128 + number
        assert b"interrupted" in stderr
        assert b"Traceback" not in stderr


def test_after_a_kill_a_run_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "store"

    def tasks() -> int:
        return sum(len(record.tasks) for record in records(store))

    with start(tmp_path, *RUN, stdout=subprocess.DEVNULL) as run:
        wait_until(lambda: tasks() == 1 or run.poll() is not None)
        run.kill()
    (before,) = records(store)
    done = descentbench(tmp_path, *RUN[:-1], store, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(row["verified"] for row in json.loads(done.stdout)["results"])
    (after,) = records(store)
    assert after.complete
    assert len(after.tasks) == 4
    assert before.tasks.items() <= after.tasks.items()


def test_the_terminal_is_restored(tmp_path: Path) -> None:
    """Check that the cursor, which the progress bar hides, is visible again after SIGTERM."""
    declare_faulty(tmp_path, slow=f"Path({str(tmp_path / 'up')!r}).touch(); time.sleep(600)")
    ours, its = pty.openpty()
    arguments = (*SMALL, *chosen("slow"), "--store", "store")
    with start(tmp_path, *arguments, stdin=its, stdout=its, stderr=its) as run:
        os.close(its)
        wait_until(lambda: (tmp_path / "up").exists() or run.poll() is not None)
        run.send_signal(signal.SIGTERM)
        screen = b""
        while piece := _read(ours):
            screen += piece
    os.close(ours)
    assert run.returncode == 128 + signal.SIGTERM
    wait_until(lambda: not left_over(tmp_path))
    assert screen.count(HIDE_CURSOR) >= 1
    assert screen.rindex(SHOW_CURSOR) > screen.rindex(HIDE_CURSOR)
    assert b"interrupted: 0 of 4 parts are in" in screen
    assert b"the same command continues from there" in screen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # the other end was closed
        return b""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_any_command_ends_in_a_line(tmp_path: Path, number: signal.Signals) -> None:
    up = tmp_path / "up"
    declare_faulty(tmp_path, slow=f"Path({str(up)!r}).touch(); time.sleep(600)")
    with start(tmp_path, "fit", "--backend", "slow", stderr=subprocess.PIPE) as fit:
        wait_until(lambda: up.exists() or fit.poll() is not None)
        fit.send_signal(number)
        _, stderr = fit.communicate(timeout=60)
    (line,) = stderr.splitlines()
    assert (fit.returncode, line[:25]) == (128 + number, b"descentbench: interrupted")


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_pick_answers_and_ends_with_the_code_of_the_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Fixed bug: the exit code was 130 after SIGTERM and SIGHUP, too."""
    up = tmp_path / "up"
    declare_faulty(tmp_path, slow=f"Path({str(up)!r}).touch(); time.sleep(600)")
    question = ("pick", "--rows", 1000, "--backend", "slow", "--store", tmp_path / "store")
    with start(tmp_path, *question, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as pick:
        wait_until(lambda: up.exists() or pick.poll() is not None)
        pick.send_signal(number)
        stdout, stderr = pick.communicate(timeout=60)
    wait_until(lambda: not left_over(tmp_path))
    assert pick.returncode == 128 + number
    assert stdout.startswith(b"Nothing can be recommended")
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("backend", ["numba", "numba:parallel"])
def test_compiled_code_does_not_turn_an_interrupt_into_an_error(
    tmp_path: Path, backend: str
) -> None:
    """Fixed bug: the output ended with `SystemError: … a result with an exception set`."""
    pytest.importorskip("numba")
    kept = tmp_path / "w.json"
    arguments = ("--backend", backend, "--rows", 1_000_000, "--checkpoint", kept)
    long = ("--steps", 1_000_000, "--every", 50)
    with start(tmp_path, "fit", *arguments, *long, stderr=subprocess.PIPE) as fit:
        wait_until(lambda: kept.exists() or fit.poll() is not None)
        time.sleep(0.5)
        fit.send_signal(signal.SIGINT)
        _, stderr = fit.communicate(timeout=60)
    (line,) = stderr.splitlines()
    assert fit.returncode == 130
    assert b"interrupted; w after step" in line


class Late:
    """An object that sends a signal in `__del__`, where Python ignores exceptions."""

    def __init__(self, number: int, deaths: list[int]) -> None:
        self.number, self.deaths = number, deaths

    def __del__(self) -> None:
        self.deaths.append(self.number)
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda n: n.name)
def test_a_signal_in_a_finaliser_is_not_lost(number: signal.Signals) -> None:
    """Fixed bug: one Ctrl-C in several hundred was ignored, because it came in `__del__`."""
    own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before, hook = signal.signal(number, own), sys.unraisablehook
    deaths: list[int] = []
    began = time.monotonic()

    def told_to_end() -> None:
        with interruptible():
            Late(number, deaths)
            time.sleep(30)

    try:
        with pytest.raises(KeyboardInterrupt) as raised:
            told_to_end()
    finally:
        signal.signal(number, before)
    assert deaths == [number]
    assert exit_code(raised.value) == 128 + number
    assert time.monotonic() - began < 30
    assert sys.unraisablehook is hook


def test_what_else_a_finaliser_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    told: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda told_of: told.append(told_of.exc_value))
    with interruptible():
        Broken()
    (error,) = told
    assert str(error) == "broken"


@pytest.mark.parametrize("kind", [SystemError, RuntimeError])
def test_an_interrupt_comes_out_of_another_exception(kind: type[Exception]) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts():
        raise kind from KeyboardInterrupt()
    with pytest.raises(kind), interrupts():
        raise kind from ValueError()


# two at once


@pytest.mark.parametrize("command", [RUN, PICK], ids=["run", "pick"])
def test_a_second_one_says_who_holds_the_store(
    tmp_path: Path, command: tuple[object, ...]
) -> None:
    with hold(tmp_path):
        done = descentbench(tmp_path, *command[:-1], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"{tmp_path} is in use by process {os.getpid()} since " in line
    assert list(tmp_path.glob("*.json")) == []


def test_a_store_is_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        store = tmp_path / "store"
        refused = pytest.raises(StoreError, match="is in use by")
        with hold(store), refused, hold(store):
            pytest.fail("two hold it")


def test_what_only_reads_a_store_does_not_hold_it(tmp_path: Path) -> None:
    with hold_when_asked(tmp_path) as claim:
        with hold(tmp_path), pytest.raises(StoreError, match="is in use by"):
            claim()
        for _ in range(2):
            claim()
        with pytest.raises(StoreError, match="is in use by"), hold(tmp_path):
            pytest.fail("two hold it")
    with hold(tmp_path):
        pass


def test_a_store_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write"), hold(tmp_path / "file" / "store"):
        pytest.fail("there is none")
