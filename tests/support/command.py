"""Run the program in a child process, with made-up packages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from backends import names

HIDE = """
from importlib.machinery import PathFinder

found = PathFinder.find_spec


@classmethod
def find_spec(cls, name, *at):
    return None if name in {hidden} else found(name, *at)


PathFinder.find_spec = find_spec
"""
"""Source of a ``sitecustomize`` module that hides the modules in `hidden` from every Python
process."""


HIDDEN = tuple(library.imports for library in names.BUILT_IN if library.imports != "numpy")
"""Import names of all built-in libraries except NumPy."""


def declare(folder: Path, name: str, source: str) -> None:
    """Write a Python package into `folder`, and register its `LIBRARY` by an entry point."""
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[{names.ENTRY_POINT_GROUP}]\n{name} = {name}:LIBRARY\n"
    )


def descentbench(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program with the packages in `folder`; return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
