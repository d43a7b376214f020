"""The settings of PyTorch's compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHILD = """
import numpy as np
from backends import generate, open_backend
open_backend("torch:compile").place(generate(100, 1), 0.001).run(np.ones(1), 1)
"""
"""Program that compiles a step."""


def test_the_compiler_writes_into_its_cache_folder_only(
    tmp_path: Path,
) -> None:
    """Seen red with PyTorch's own settings: the headers were left in the temporary folder."""
    pytest.importorskip("torch")
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    folders = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"), "TMPDIR": str(elsewhere)}
    subprocess.run([sys.executable, "-c", CHILD], env=os.environ | folders, check=True)
    assert [*elsewhere.rglob("*.gch")] == []
    assert [*(tmp_path / "cache").rglob("*.so")] != []
