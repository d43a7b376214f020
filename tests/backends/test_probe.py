"""Test a library that an environment variable breaks: it is listed with that reason."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends import MissingLibraryError, catalogue, names, open_backend, probe
from backends.names import Library
from tests.support.command import HIDE, descentbench

# JAX itself


@pytest.fixture
def jax_alone(tmp_path: Path) -> Path:
    """A folder whose `sitecustomize` hides all libraries except NumPy and JAX, to save time."""
    pytest.importorskip("jax")
    hidden = ("numba", "torch", "distributed")
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(hidden=hidden))
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "value", "what"),
    [
        ("JAX_PLATFORMS", "nope", "start"),
        ("JAX_PLATFORMS", "tpu", "start"),
        ("XLA_FLAGS", "--nope=1", "start"),
        ("JAX_ENABLE_X64", "maybe", "import"),
    ],
)
def test_a_variable_that_breaks_jax_is_named_and_the_others_go_on(
    jax_alone: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, what: str
) -> None:
    """Fixed bug: a wrong environment variable caused tracebacks, or advice to reinstall JAX."""
    monkeypatch.setenv(variable, value)
    done = descentbench(jax_alone, "backends", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    assert {row["library"] for row in listed if row["available"]} == {"numpy"}
    for row in (row for row in listed if row["library"] == "jax"):
        assert row["reason"].startswith(f"jax does not {what} with {variable}={value} (")
        assert row["reason"].endswith(f"); unset {variable}, or correct it")

    for asked in (("fit", "--backend", "jax:loop"), ("run", "--backend", "jax*")):
        done = descentbench(jax_alone, *asked)
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert f"{variable}={value}" in line


# made-up libraries

NOTED = """
import os, signal, time
from pathlib import Path

with Path({notes!r}).open("a") as notes:
    notes.write("started\\n")
if os.environ.get("FRAGILE_MODE") == "abort":
    os.abort()
if os.environ.get("FRAGILE_MODE") == "hang":
    time.sleep(600)
if os.environ.get("FRAGILE_LEVEL", "1") != "1":
    raise ValueError("no such level")


class Plain:
    def __init__(self, problem, learning_rate, device):
        pass


def devices(technique):
    if os.environ.get("FRAGILE_DEVICE"):
        raise RuntimeError("no such device\\nand more")
    return {{"cpu": ""}}
"""

Starts = Callable[[], int]


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Starts]:
    """Register a library `fragile`; return a function that counts how often it was imported."""
    notes = tmp_path / "notes"
    (tmp_path / "fragile.py").write_text(NOTED.format(notes=str(notes)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(probe.PASSED, raising=False)
    library = Library(
        "fragile",
        "fragile",
        install="pip install fragile",
        variables=("FRAGILE_*",),
        risky=("FRAGILE_MODE",),
    )
    names.register(library)
    yield lambda: len(notes.read_text().splitlines()) if notes.exists() else 0
    names.unregister("fragile")
    sys.modules.pop("fragile", None)
    os.environ.pop(probe.PASSED, None)


def reason() -> str:
    found = catalogue.unavailable(["fragile*"])
    assert [*found] == ["fragile"]
    with pytest.raises(MissingLibraryError) as error:
        open_backend("fragile")
    assert str(error.value) == found["fragile"]
    assert "numpy" in map(str, catalogue.select(["numpy", "*"]))
    return found["fragile"]


def test_without_variables_a_library_starts_in_this_process_alone(starts: Starts) -> None:
    open_backend("fragile")
    assert starts() == 1


def test_an_abort_ends_a_child(starts: Starts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAGILE_MODE", "abort")
    assert reason() == (
        "fragile does not start with FRAGILE_MODE=abort (its process was ended by SIGABRT); "
        "unset FRAGILE_MODE, or correct it"
    )


def test_a_start_that_takes_for_ever_is_ended(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 1.0)
    monkeypatch.setenv("FRAGILE_MODE", "hang")
    assert "with FRAGILE_MODE=hang (it had not started after 1 s)" in reason()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (
            "FRAGILE_LEVEL",
            "import with FRAGILE_LEVEL=bad (no such level); unset FRAGILE_LEVEL,",
        ),
        ("FRAGILE_DEVICE", "start with FRAGILE_DEVICE=bad (no such device); unset FRAGILE_DEV"),
    ],
)
def test_the_one_of_several_variables_is_found(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    monkeypatch.setenv("FRAGILE_COLOUR", "blue")
    monkeypatch.setenv("FRAGILE_SIZE", "large")
    monkeypatch.setenv(variable, "bad")
    assert f"fragile does not {words}" in reason()


def test_two_variables_that_both_break_it_are_both_named(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAGILE_DEVICE", "a")
    monkeypatch.setenv("FRAGILE_LEVEL", "b")
    assert (
        "FRAGILE_DEVICE=a FRAGILE_LEVEL=b (no such level); unset FRAGILE_DEVICE or" in reason()
    )


def test_a_variable_that_is_no_cause_is_not_blamed(
    starts: Starts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FRAGILE_COLOUR", "blue")
    (tmp_path / "fragile.py").write_text("raise OSError('libfragile.so: not found')")
    assert reason() == (
        "fragile is installed but does not import (libfragile.so: not found); "
        "install it anew: pip install fragile"
    )


def test_a_setting_that_is_good_is_tried_once_for_all_processes(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAGILE_MODE", "gentle")
    open_backend("fragile")
    assert starts() == 2  # once in a child process and once here
    sys.modules.pop("fragile")
    probe._started.cache_clear()  # as in another process with the same environment
    open_backend("fragile")
    assert starts() == 3
