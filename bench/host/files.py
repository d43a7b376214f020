"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from backends.errors import DescentbenchError


class StoreError(DescentbenchError):
    """A result file, or the folder of the results, that cannot be read or written."""


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, whole."""
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
