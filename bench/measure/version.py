"""Identify the code that a timing depends on: by a hash of its sources, and by git."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

TREE = Path(__file__).parents[2]
"""Root folder of this checkout."""

GIT_SECONDS = 20.0
"""Time limit in seconds for a call of git."""

SOURCES = (
    "backends/**/*.py",
    "bench/host/**/*.py",
    "bench/measure/**/*.py",
    "bench/measure/**/*.c",
    "bench/results/case.py",
    "bench/conftest.py",
    "bench/test_setup.py",
    "bench/test_step.py",
)
"""Patterns of the files that a timing depends on.

Files that only evaluate or show timings are left out.
"""


def code_version(tree: Path = TREE) -> str:
    """Return a hash of the files in `SOURCES`, for detecting that the measured code changed."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in tree.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def revision(tree: Path = TREE) -> str:
    """Return the git revision, with ``-dirty`` at its end if files differ from the revision.

    The result is "" if git gives no revision.
    """
    git = shutil.which("git")
    if git is None or not (tree / ".git").exists():
        return ""
    found = []
    for question in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no")):
        answer = subprocess.run(  # noqa: S603 (the arguments are ours)
            [git, "-C", str(tree), *question],
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_SECONDS,
        )
        if answer.returncode:
            return ""
        found.append(answer.stdout.strip())
    return found[0] + ("-dirty" if found[1] else "")
