"""Test a missing or broken optional library: one line about it, and everything else works."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from backends.names import BUILT_IN
from bench.host.optional import MissingLibraryError, need
from tests.support.command import HIDDEN, HIDE, descentbench
from tests.support.records import record

LIBRARY = {library.imports: library for library in BUILT_IN if library.imports in HIDDEN}
"""Import name → the built-in library with this name; NumPy is left out."""

NEEDED = {  # module → a command that needs it, and words of the error
    **{m: (("fit", "--backend", found.name), found.name) for m, found in LIBRARY.items()},
    "pyarrow": (("fit", "--data", "data.parquet"), "reading .parquet needs pyarrow"),
    "matplotlib": (("fit", "--plot", "fit.svg"), "a plot needs matplotlib"),
    "jinja2": (("report", "run.json"), "a report needs jinja2"),
}

FAULTS = {
    "missing": "",
    "broken": "raise ImportError('libfoo.so.7: cannot open shared object file')",
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("library", NEEDED)
def test_who_needs_it_says_so_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, fault: str
) -> None:
    _spoil(tmp_path, library, fault)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    record(sizes=[(100, 1)]).save(tmp_path / "run.json")
    arguments, words = NEEDED[library]
    done = descentbench(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert words in line
    install = LIBRARY[library].install if library in LIBRARY else f"pip install {library}"
    assert install in line.replace("--force-reinstall ", "")
    if fault == "broken" and library != "pyarrow":
        assert "does not import (libfoo.so.7: cannot open shared object file)" in line


@pytest.mark.parametrize("library", LIBRARY)
def test_all_else_is_listed_and_works(tmp_path: Path, library: str, fault: str) -> None:
    """Check that NumPy works although one library is broken and the others are hidden."""
    others = [name for name in LIBRARY if name != library]
    _spoil(tmp_path, library, fault, *others)
    done = descentbench(tmp_path, "backends", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    assert {row["library"] for row in listed if row["available"]} == {"numpy"}
    of = LIBRARY[library]
    reasons = [row["reason"] for row in listed if row["library"] == of.name]
    assert reasons
    assert all(of.install in reason for reason in reasons)


def _spoil(folder: Path, library: str, fault: str, *hidden: str) -> None:
    """Hide a library, or write a broken module with its name that is imported instead."""
    if fault == "missing":
        hidden = (library, *hidden)
    else:
        (folder / f"{library}.py").write_text(FAULTS[fault])
    (folder / "sitecustomize.py").write_text(HIDE.format(hidden=hidden or ("",)))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('too old\\nand more')", "which does not import (too old): pip"),
        ("raise OSError", "which does not import (OSError): pip install --force-reinstall"),
        ("import not_there", "which does not import (No module named 'not_there'): pip"),
    ],
)
def test_whatever_an_import_raises_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    (tmp_path / "spoilt.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingLibraryError) as error:
        need("spoilt", "this test")
    assert str(error.value).startswith(f"this test needs spoilt, {words}")
    assert "spoilt" not in sys.modules
