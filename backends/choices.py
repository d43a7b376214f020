"""Read and write ``tuning.json``, which holds the fastest parameter values for a kind of data.

The file is in the user's cache folder.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_SECONDS = 2.0
"""Longest wait in seconds for the file lock that a process holds during its timings."""


def _path() -> Path:
    """Return the path of ``tuning.json``."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(folder) if folder else Path.home() / ".cache") / "descentbench" / "tuning.json"


def stored() -> dict[str, dict[str, int]]:
    """Return the content of ``tuning.json``, or {} if the file is missing or damaged."""
    try:
        found = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


def store(kind: str, choice: dict[str, int]) -> None:
    """Write `choice` under the key `kind` to ``tuning.json``. Errors are ignored."""
    with suppress(OSError, RuntimeError):
        path = _path()
        text = json.dumps(stored() | {kind: choice}, indent=1, sort_keys=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        Path(file.name).replace(path)


@contextmanager
def locked() -> Iterator[None]:
    """Hold a file lock, so that two processes do not time parameter values at the same time.

    If the lock cannot be obtained within `LOCK_SECONDS`, the ``with`` block runs without it.
    The timings are then less exact, but ``tuning.json`` is not damaged.
    """
    try:
        import fcntl

        path = _path().with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except (ImportError, OSError, RuntimeError):  # RuntimeError: there is no home directory
        yield
        return
    try:
        until = time.monotonic() + LOCK_SECONDS
        while time.monotonic() < until:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)
