"""Child processes that leave nothing behind: neither themselves nor their own children.

A child ends when its time is up, when this process ends, and even when it is killed.
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
"""Option of ``prctl`` (linux/prctl.h) that sets the signal for the parent's death."""

RUNNING = "running"
"""Name of the file in which a child writes the case that it measures."""

LOOK_S = 0.1
"""Seconds between two looks at a child."""


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
        Returns whether to go on waiting; called every `LOOK_S`.
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
    """Decides whether a child may continue, and knows the case that it measures.

    Parameters
    ----------
    running : Path
        Where the child writes each case before it starts with it.
    timeout : float
        Seconds for a case.
    budget : float
        Seconds for all cases.
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
        """Return whether there is time left for the child."""
        self.look()
        return time.monotonic() - self.since < self.timeout and self.seconds < self.budget

    def look(self) -> None:
        """Read which case the child is at."""
        if (row := read(self.running)) != self.row:
            self.row, self.since = row, time.monotonic()


def end_with_parent() -> None:
    """Ask the kernel to kill this child when its parent is killed, where the kernel can."""
    parent = os.environ.pop(PARENT, "")  # it is not the parent of this child's children
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before we asked
        os.kill(os.getpid(), signal.SIGKILL)
