"""Read small text files of the kernel, such as ``/proc/stat``.

Functions that read these files take the root of the file system as an argument, so that tests
can replace the files.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")


def read(path: Path) -> str:
    """Return the file's text without surrounding spaces; "" if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(path: Path, key: str) -> int | None:
    """Return the number after `key` in a line like ``key 12`` or ``key: 12 kB``.

    A number in kB is returned in bytes. None means that the file has no line with this key.
    """
    found = re.search(rf"^{key}:?\s+(\d+)( kB)?$", read(path), re.MULTILINE)
    return int(found[1]) * (1024 if found[2] else 1) if found else None
