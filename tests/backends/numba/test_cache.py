"""Test Numba's cache on disk: edits are noticed, and there is always a folder for the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from numba import njit

from backends.numba.pointwise import fingerprint

ROOT = Path(__file__).parents[3]

GRADIENT = """
import numpy as np
from backends import Problem, open_backend
x = np.arange(60, dtype=np.float32).reshape(20, 3)
backend = open_backend("numba:parallel").place(Problem(x, np.ones(20, np.float32)), 0.1)
print(*backend.gradient(np.ones(3)))
from backends.numba.parallel import serial_descent
print(sum(serial_descent.stats.cache_hits.values()))
"""


def copied(folder: Path) -> Path:
    """Copy the package `backends` into a folder, without compiled code; return the folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "backends", folder / "backends", ignore=ignored)
    return folder


def run(code: str, folder: Path, **environment: str) -> list[str]:
    """Run Python code with the copied package; return the lines that it printed."""
    cleared = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=cleared | {"PYTHONPATH": str(folder)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("file", "before", "after"),
    [
        ("numba/emit.py", '"llvm.fmuladd.', '"llvm.fma.'),
        ("numba/kernels.py", "r = evaluate(slope, p,", "r = evaluate(slope, p + p,"),
        ("losses.py", "return p - y\n", "return p - y - y\n"),
    ],
)
def test_an_edit_in_any_file_compiles_anew(
    tmp_path: Path, file: str, before: str, after: str
) -> None:
    """Check that an edit in any file of the loops makes Numba compile again."""
    folder = copied(tmp_path)
    first = run(GRADIENT, folder)
    assert run(GRADIENT, folder) == [first[0], "1"]  # from the cache
    edited = folder / "backends" / file
    text = edited.read_text()
    assert before in text
    edited.write_text(text.replace(before, after))
    changed, hits = run(GRADIENT, folder)
    assert hits == "0"
    assert (changed == first[0]) == (file == "numba/emit.py")  # this edit changes no result


OWN = """
from backends.losses import find
loss = find("mine.py:mine")
x = np.arange(20, dtype=np.float32)
backend = open_backend("numba:parallel").place(Problem(x, x, loss=loss), 0.1)
print(*backend.gradient([2.0]))
from backends.numba.parallel import serial_descent
print(sum(serial_descent.stats.cache_hits.values()))
"""

MINE = """
import sys
sys.path.insert(0, ".")
import helper
class mine:
    value = staticmethod(lambda xp, p, y: helper.factor(0.5 * (p - y) ** 2))
    slope = staticmethod(lambda xp, p, y: helper.factor((p - y)))
"""


def test_an_edited_users_loss_compiles_anew(tmp_path: Path) -> None:
    """Check that edits in a user's file, or in a module it imports, are compiled."""
    folder = copied(tmp_path)
    helper = "import numba\n@numba.njit\ndef factor(p): return p * "
    (folder / "helper.py").write_text(f"{helper}1.0")
    (folder / "mine.py").write_text(MINE)
    code = GRADIENT.partition("x = ")[0] + OWN
    squares = float((np.arange(20.0) ** 2).sum())
    assert run(code, folder) == [str(squares), "0"]
    assert run(code, folder) == [str(squares), "1"]
    (folder / "mine.py").write_text(MINE.replace("factor(", "factor(3 * "))
    assert run(code, folder) == [str(3 * squares), "0"]
    (folder / "helper.py").write_text(f"{helper}10.0")
    assert run(code, folder) == [str(30 * squares), "0"]


UNKNOWN = """
import os, pwd
os.environ.pop("HOME", None)
def unknown(_):
    raise KeyError("no such user")
pwd.getpwuid = unknown
"""

READ_ONLY = """
import os
really = os.access
os.access = lambda path, mode: False if "backends" in str(path) else really(path, mode)
"""


@pytest.mark.parametrize("user", ["", UNKNOWN])
def test_numba_runs_where_it_can_write_to_no_folder_of_its_own(
    tmp_path: Path, user: str
) -> None:
    """Check that Numba runs if it cannot write its cache folder.

    A file takes the folder's place, because the user root can write to every folder.
    """
    pytest.importorskip("pwd")
    folder = copied(tmp_path)
    (folder / "backends" / "numba" / "__pycache__").write_text("")
    end = "import os; print(os.environ['NUMBA_CACHE_DIR'], os.path.isdir('~'))"
    gradient, _, found = run(
        (user + READ_ONLY if user else "") + GRADIENT + end, folder, HOME="/dev/null"
    )
    assert gradient
    temporary, tilde = found.split()
    assert tilde == "False"
    assert not Path(temporary).exists()  # removed at the end of the process


def test_a_slopes_fingerprint_holds_all_that_it_computes_with() -> None:
    def made(delta: float) -> object:
        def slope(xp: object, p: float, y: float, scale: float = 1) -> float:
            return scale * (p - y) + delta

        return slope

    def other(xp: object, p: float, y: float, scale: float = 2) -> float:
        return scale * (p - y)

    assert fingerprint(made(1.0)) == fingerprint(made(1.0))
    assert fingerprint(made(1.0)) != fingerprint(made(2.0))
    scaled = made(1.0)
    scaled.__defaults__ = (3,)  # type: ignore[attr-defined]
    assert fingerprint(scaled) != fingerprint(made(1.0))
    assert fingerprint(other) != fingerprint(made(1.0))
    assert fingerprint(njit(made(2.0))) == fingerprint(made(2.0)) != fingerprint(njit(other))
