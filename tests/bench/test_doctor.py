"""The doctor: every fault laid out, and this machine as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backends import names
from bench import doctor
from bench.cli import main
from bench.doctor import Finding, disk, judge, memory, overrides, processor
from bench.host import threads
from tests.support.cgroups import lay_out, v2
from tests.support.command import HIDE, declare, descentbench

GOVERNOR = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
QUIET_STAT = {"proc/stat": "cpu 100 0 100 9800 0 0 0 0 0 0"}


def of(findings: list[Finding], topic: str) -> list[tuple[str, bool]]:
    """Return the levels of a topic, and whether there is something to do."""
    return [(f.level, bool(f.mend)) for f in findings if f.topic == topic]


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "affinity", lambda: {0, 1, 2, 3})
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("idle")
def test_a_good_machine_has_nothing_to_mend(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path,
        {GOVERNOR.format(0): "performance", PAGES: "always [madvise] never"} | QUIET_STAT,
    )
    found = [*processor(root), *memory(root), disk(tmp_path), *overrides({"HOME": "/root"})]
    assert [(f.level, f.mend) for f in found] == [("good", "")] * len(found)
    topics = {"processor", "frequency", "load", "memory", "swap", "huge pages", "results"}
    assert {f.topic for f in found} == topics


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("files", "topic", "level"),
    [
        (
            {GOVERNOR.format(0): "performance", GOVERNOR.format(1): "powersave"},
            "frequency",
            "bad",
        ),
        (v2("/", {"cpu.max": "50000 100000"}), "CPU quota", "note"),
        (v2("/a", {"a/cpu.stat": "nr_periods 9\nnr_throttled 7"}), "CPU quota", "note"),
        ({"proc/stat": "cpu 100 0 100 9600 0 0 0 200 0 0"}, "virtual machine", "note"),
    ],
)
def test_what_slows_the_processor_is_found(
    tmp_path: Path, files: dict[str, str], topic: str, level: str
) -> None:
    found = [*processor(lay_out(tmp_path, QUIET_STAT | files))]
    assert (level, True) in of(found, topic)


def test_a_busy_machine_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    assert of([*processor(tmp_path)], "load") == [("bad", True)]


@pytest.mark.parametrize(
    ("files", "topic", "level"),
    [
        ({"proc/meminfo": "MemAvailable: 1024 kB"}, "memory", "bad"),
        ({"proc/meminfo": "SwapTotal: 2048 kB\nSwapFree: 1024 kB"}, "swap", "note"),
        ({PAGES: "always madvise [never]"}, "huge pages", "note"),
    ],
)
def test_what_slows_memory_is_found(
    tmp_path: Path, files: dict[str, str], topic: str, level: str
) -> None:
    assert of([*memory(lay_out(tmp_path, files))], topic) == [(level, True)]


def test_a_variable_that_changes_a_library_is_named() -> None:
    (found,) = overrides({"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"})
    assert (found.found, found.level) == ("OPENBLAS_CORETYPE=Haswell", "note")
    assert "unset OPENBLAS_CORETYPE" in found.mend


def test_little_room_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert disk(tmp_path / "not" / "yet").level == "good"
    monkeypatch.setattr(doctor, "LITTLE_DISK", 10**18)
    assert of([disk(tmp_path)], "results") == [("bad", True)]


def told(*pools: dict[str, Any]) -> dict[str, Any]:
    return {"version": "1.2", "devices": ["cpu", "cuda:0"], "pools": list(pools)}


NUMPY, NUMBA = (lib for lib in names.BUILT_IN if lib.name in ("numpy", "numba"))


def test_threads_and_blas_are_judged() -> None:
    blas = {"user_api": "blas", "internal_api": "openblas", "num_threads": 2}
    first, second = judge(NUMPY, told(blas | {"architecture": "Zen"}))
    assert (first.found, second.found) == ("1.2 on cpu, cuda:0", "openblas for Zen, 2 threads")
    assert of([*judge(NUMPY, told())], "numpy's BLAS") == [("bad", True)]
    for layer, level in (("omp", "good"), ("workqueue", "bad")):
        pool = {"user_api": "numba", "internal_api": layer, "num_threads": 2}
        found = [*judge(NUMBA, told(blas, pool))]
        assert of(found, "numba's threads") == [(level, level == "bad")]


def test_libraries_that_are_hidden_broken_or_die(tmp_path: Path) -> None:
    """With Numba and JAX hidden, PyTorch broken, and a library whose process dies."""
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
    """The advice was to reinstall JAX; the second value aborts the process that loads it."""
    pytest.importorskip("jax")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("OMP_PROC_BIND", "false")  # set as well, and innocent
    monkeypatch.setenv(name, value)
    (jax,) = (library for library in names.BUILT_IN if library.name == "jax")
    (found,) = doctor.library_findings(jax)
    assert found.level == "bad"
    assert found.found.startswith(f"does not run with {name}={value}: ")
    assert words in found.found
    assert found.mend.startswith(f"unset {name}")
    assert "install" not in found.mend


def test_the_page_counts_what_is_to_be_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        Finding("torch", "does not import", "bad", "pip install torch"),
        Finding("swap", "1 kB are swapped out", "note", "swapoff -a"),
        Finding("memory", "all is free"),
    ]
    monkeypatch.setattr(doctor, "examine", lambda store: found)
    monkeypatch.setattr(threads, "apply", lambda: 1)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        *("✗ torch: does not import", "    pip install torch"),
        *("· swap: 1 kB are swapped out", "    swapoff -a"),
        *("✓ memory: all is free", ""),
        "1 to mend (✗), 1 to know of (·)",
    ]
