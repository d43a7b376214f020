"""Test that the Python code in docs/python.md runs.

A pick in the document is made small: few backends and a short budget.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT, python_blocks

PICK = "rows=10**7, features=1, iterations=1000, budget=60"
SMALL_PICK = 'rows=1000, iterations=10, backends=["numpy"], budget=60'


def test_the_python_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    for module in ("pandas", "sklearn"):
        pytest.importorskip(module)
    blocks = python_blocks(ROOT / "docs/python.md")
    code = "\n".join(blocks)
    assert code.count(PICK) == 1
    (tmp_path / "page.py").write_text(code.replace(PICK, SMALL_PICK), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("{'area': ")
    assert any(line.startswith("Use numpy") for line in lines)
    assert (tmp_path / "model.json").exists()
