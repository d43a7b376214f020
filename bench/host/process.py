"""A child process, of which nothing stays behind: neither it nor what it started.

It ends when its time is up, when we end, and even when we are killed.
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
"""The variable that tells a child whose it is."""

PR_SET_PDEATHSIG = 1
"""Of ``prctl`` (linux/prctl.h): the signal to get when the parent dies."""

RUNNING = "running"
"""Beside the failures, a child writes here which row it is at."""

LOOK_S = 0.1


def call(
    command: Sequence[str],
    env: Mapping[str, str],
    folder: Path,
    log: Path,
    patience: Callable[[], bool],
    descriptors: Sequence[int] = (),
) -> int | None:
    """Run a command in a process group of its own, and end the whole group with it.

    Parameters
    ----------
    command : sequence of str
    env : mapping
    folder : Path
        Where it runs.
    log : Path
        Takes its output. A pipe would stay open as long as anything that the
        command has started.
    patience : callable
        Asked ten times a second: whether to go on waiting.
    descriptors : sequence of int
        Open files that it inherits.

    Returns
    -------
    int or None
        Its exit status, below 0 for a signal; None when patience ended.
    """
    with log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 the command is ours
            command,
            env={**env, PARENT: str(os.getpid())},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(descriptors),
        )
    try:
        while patience():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(LOOK_S)
        return None
    finally:  # after Ctrl-C, too
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Watch:
    """Whether a child may go on; which row it was at when it was last asked.

    Parameters
    ----------
    running : Path
        Where the child writes each row that it begins with.
    timeout : float
        Seconds for a row.
    budget : float
        Seconds for all.
    """

    def __init__(self, running: Path, timeout: float, budget: float) -> None:
        self.running, self.timeout, self.budget = running, timeout, budget
        self.row = ""
        self.began = self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the child was started."""
        return time.monotonic() - self.began

    def __call__(self) -> bool:
        """Look what it is at; whether there is time left for it."""
        self.look()
        return time.monotonic() - self.since < self.timeout and self.seconds < self.budget

    def look(self) -> None:
        """See which row it has come to."""
        if (row := read(self.running)) != self.row:
            self.row, self.since = row, time.monotonic()


def end_with_parent() -> None:
    """Have the kernel kill this child when its parent is killed, where the kernel can."""
    parent = os.environ.pop(PARENT, "")  # it is not the parent of this child's children
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)
