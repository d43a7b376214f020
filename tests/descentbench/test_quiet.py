"""Test that importing the package loads only NumPy and prints nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

LOADED = """
import sys
before = {*sys.modules}
import descentbench
packages = {name.partition(".")[0] for name in {*sys.modules} - before}
packages -= {*sys.stdlib_module_names}
assert packages == {"numpy", "backends", "bench", "descentbench"}, packages
"""

FITTED = """
import sys
import descentbench
descentbench.fit([[1.0], [2.0]], [2.0, 4.0], intercept=True, standardize=True)
heavy = {"scipy", "pandas", "rich", "numba", "torch", "jax", "click", "pytest", "sklearn"}
assert not heavy & {*sys.modules}, heavy & {*sys.modules}
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_import_loads_numpy_only(tmp_path: Path) -> None:
    done = run(LOADED, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fit_with_numpy_loads_no_other_library(tmp_path: Path) -> None:
    """Check that nothing is printed if the program did not configure `logging`."""
    done = run(FITTED, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not any(tmp_path.iterdir())
