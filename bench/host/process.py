"""Run child processes and make sure that they end, together with their own children.

A child is killed at its time limit, and when this process ends or is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.host.procfs import read

PARENT = "DESCENTBENCH_PARENT"
"""Environment variable that holds the parent's process id."""

PR_SET_PDEATHSIG = 1
"""Option of ``prctl`` (linux/prctl.h) that sets the signal sent when the parent ends."""

RUNNING = "running"
"""Name of the file to which a child writes the benchmark case that it measures."""

LOOK_S = 0.1
"""Time in seconds between two checks whether a child has ended or reached its time limit."""


def call(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    patience: Callable[[], bool],
    descriptors: Sequence[int] = (),
) -> int | None:
    """Run a command in a new process group; end the whole group when the command ends.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    env : mapping
        Environment variables of the command.
    folder : Path
        Working directory of the command.
    log : Path
        File for the command's output.
    patience : callable
        Returns whether to continue waiting; called every `LOOK_S` seconds.
    descriptors : sequence of int
        Open files that the command inherits.

    Returns
    -------
    int or None
        Exit status of the command; −n if signal n killed the command. None means that this
        function killed the command because `patience` returned False.
    """
    child = start(command, env, folder, log, descriptors)
    try:
        while patience():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(LOOK_S)
        return None
    finally:  # after Ctrl-C, too
        end_group(child.pid)
        child.wait()


def start(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a command in a new process group; the parameters are those of `call`."""
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 a command of this program
            command,
            env={**env, PARENT: str(os.getpid())},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(descriptors),
        )


def end_group(group: int) -> None:
    """Kill all running processes of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
        os.killpg(group, signal.SIGKILL)


class Watch:
    """Checks a child's time limits, and tracks which benchmark case the child measures.

    Parameters
    ----------
    running : Path
        File to which the child writes the name of a case before measuring the case.
    timeout : float
        Time limit in seconds for each case.
    budget : float
        Time limit in seconds for all cases together.
    """

    def __init__(self, running: Path, timeout: float, budget: float) -> None:
        self.running, self.timeout, self.budget = running, timeout, budget
        self.row = ""
        self.began = self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return the seconds since the child was started."""
        return time.monotonic() - self.began

    def __call__(self) -> bool:
        """Return False once the child has exceeded the time limit `timeout` or `budget`."""
        self.look()
        return time.monotonic() - self.since < self.timeout and self.seconds < self.budget

    def look(self) -> None:
        """Read which case the child measures; a new case restarts the time limit `timeout`."""
        if (row := read(self.running)) != self.row:
            self.row, self.since = row, time.monotonic()


def end_with_parent() -> None:
    """Make the kernel kill this process when its parent ends; does nothing outside Linux."""
    parent = os.environ.pop(PARENT, "")  # children of this process must not inherit the id
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # the parent ended before the call of prctl
        os.kill(os.getpid(), signal.SIGKILL)
