"""Test what ``doctor`` says about the libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends import names
from bench.doctor.libraries import judge, library_findings
from tests.support.command import HIDE, declare, descentbench


def told(*pools: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1.2", "devices": ["cpu", "cuda:0"], "pools": list(pools)}


NUMPY, NUMBA = (lib for lib in names.BUILT_IN if lib.name in ("numpy", "numba"))


def test_threads_and_blas_are_judged() -> None:
    blas = {"user_api": "blas", "internal_api": "openblas", "num_threads": 2}
    first, second = judge(NUMPY, told(blas | {"architecture": "Zen"}))
    assert (first.found, second.found) == ("1.2 on cpu, cuda:0", "openblas for Zen, 2 threads")
    _, missing = judge(NUMPY, told())
    assert (missing.topic, missing.level, bool(missing.mend)) == ("numpy's BLAS", "bad", True)
    for layer, level in (("omp", "good"), ("workqueue", "bad")):
        pool = {"user_api": "numba", "internal_api": layer, "num_threads": 2}
        _, threads = judge(NUMBA, told(blas, pool))
        assert threads.topic == "numba's threads"
        assert (threads.level, bool(threads.mend)) == (level, level == "bad")


def test_libraries_that_are_hidden_broken_or_die(tmp_path: Path) -> None:
    """Hide Numba and JAX, break PyTorch, and add a library that aborts its process."""
    hide = HIDE.format(hidden=("numba", "jax", "matplotlib"))
    (tmp_path / "sitecustomize.py").write_text(hide)
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.99 is not there')")
    dying = "from backends.catalogue import Library\nLIBRARY = Library('dying', 'dies', "
    declare(tmp_path, "dying", dying + "needs='json', install='pip install dying')")
    (tmp_path / "dies.py").write_text("import os; os.abort()")

    done = descentbench(tmp_path, "doctor", "--store", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = {f["topic"]: f for f in json.loads(done.stdout)}
    assert found["numpy"]["level"] == "good"
    assert found["numba"] == {
        "topic": "numba",
        "found": "not installed",
        "level": "note",
        "mend": "pip install numba",
    }
    assert found["torch"]["level"] == "bad"
    assert "libcudart.so.99 is not there" in found["torch"]["found"]
    assert found["dying"]["level"] == "bad"
    assert found["dying"]["mend"] == "pip install dying"
    assert found["matplotlib"]["mend"] == "pip install matplotlib"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("JAX_PLATFORMS", "nope", "Unable to initialize backend 'nope'"),
        ("XLA_FLAGS", "--nope", "Unknown flag"),
    ],
)
def test_the_variable_that_breaks_a_library_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    """Fixed bug: the advice was to reinstall JAX, although a variable was wrong.

    One of the tested values aborts the process that imports JAX.
    """
    pytest.importorskip("jax")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("OMP_PROC_BIND", "false")  # also set, but harmless
    monkeypatch.setenv(name, value)
    (jax,) = (library for library in names.BUILT_IN if library.name == "jax")
    (found,) = library_findings(jax)
    assert found.level == "bad"
    assert found.found.startswith(f"does not run with {name}={value}: ")
    assert words in found.found
    assert found.mend.startswith(f"unset {name}")
    assert "install" not in found.mend


ON_ONE_DEVICE = """
from backends.names import Library
from backends.numpy import Plain

LIBRARY = Library("{name}", "{name}", {{"": "Mine"}}, needs="numpy", install="install it")


def devices(technique):
    return {devices}


class Mine(Plain):
    def __init__(self, problem, learning_rate, device):
        assert device == "cuda:1"
        super().__init__(problem, learning_rate, "cpu")
"""


@pytest.mark.parametrize(
    ("devices", "found", "level"),
    [
        (
            {"cuda:0": "another program holds it", "cuda:1": ""},
            f"{np.__version__} on cuda:1",
            "good",
        ),
        (
            {"cuda:0": "no CUDA device"},
            f"{np.__version__}, but no device can be used: cuda:0: no CUDA device",
            "note",
        ),
    ],
)
def test_a_library_without_the_cpu_takes_its_step_elsewhere(
    devices: dict[str, str],
    found: str,
    level: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fixed bug: a library without CPU support was tried on the CPU and reported as broken."""
    declare(tmp_path, "mine", ON_ONE_DEVICE.format(name="mine", devices=devices))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    library = names.Library("mine", "mine", needs="numpy", install="pip install mine")
    (finding,) = library_findings(library)
    assert (finding.found, finding.level) == (found, level)
