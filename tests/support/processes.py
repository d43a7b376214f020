"""Find processes that a test has left running, and wait for conditions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def left_over(folder: Path) -> list[str]:
    """Return the command lines of processes whose environment variable MARK is `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={folder}\0".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:  # another user's process, or one that has ended
            continue
    return found


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until a function returns True, for at most 60 seconds."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
