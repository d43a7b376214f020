"""Write files atomically."""

from __future__ import annotations

import os
from pathlib import Path

from backends.errors import DescentbenchError


class StoreError(DescentbenchError):
    """A file cannot be written, or a result file or a results folder cannot be used.

    A results folder cannot be used while another run holds its lock.
    """


def write_atomically(path: Path, text: str) -> None:
    """Write a text file atomically: a reader sees the complete old or the complete new text."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
