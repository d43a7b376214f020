from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

from backends.names import BUILT_IN
from bench.host import limits, machine, memory
from bench.host.machine import Gpu
from bench.host.threads import asked_for, environment, spread

MB = 1_000_000

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def python(code: str) -> str:
    """Run code that may change threads and processors in a new process; return its output."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# threads


def test_environment_gives_every_library_the_same_number() -> None:
    counts = {name: v for name, v in environment(3).items() if name.endswith("_THREADS")}
    assert set(counts.values()) == {"3"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"} <= set(counts)
    assert environment(1).keys() == environment(2).keys()


def test_apply_bounds_the_pools_and_the_affinity() -> None:
    code = (
        "import os, sys; from bench.host.threads import apply; n = apply(1); "
        "assert 'numpy' not in sys.modules; import numpy; "
        "from bench.host.limits import affinity; from bench.host.machine import thread_pools; "
        "print(n, len(affinity()), os.environ['OMP_NUM_THREADS'], "
        "*{pool['num_threads'] for pool in thread_pools()})"
    )
    assert python(code) == "1 1 1 1"


def test_apply_bounds_a_numpy_that_is_loaded_already() -> None:
    code = (
        "import numpy; from bench.host.threads import apply; apply(1); "
        "from bench.host.machine import thread_pools; "
        "print(*{pool['num_threads'] for pool in thread_pools()})"
    )
    assert python(code) == "1"


def test_apply_spares_a_numba_that_is_loaded_already() -> None:
    pytest.importorskip("numba")
    code = """
import os
os.environ["NUMBA_NUM_THREADS"] = "2"
import numba
from bench.host.machine import thread_pools
from bench.host.threads import apply

@numba.njit(parallel=True)
def total(n):
    s = 0
    for i in numba.prange(n):
        s += i
    return s

assert not any(pool["user_api"] == "numba" for pool in thread_pools())
total(10)
apply(1)
assert numba.njit(lambda x: x + 1)(1) == 2  # compiling reads the environment again
print(*[pool["num_threads"] for pool in thread_pools() if pool["user_api"] == "numba"])
"""
    assert python(code) == "1"


def test_apply_defaults_to_what_the_process_may_use() -> None:
    assert python("from bench.host.threads import apply; print(apply())") == str(
        limits.cpu_count()
    )


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "3"}, (3, "OMP_NUM_THREADS")),
        ({"OMP_NUM_THREADS": "4,2"}, (4, "OMP_NUM_THREADS")),
        ({"OMP_NUM_THREADS": "8", "SLURM_CPUS_PER_TASK": "2"}, (2, "SLURM_CPUS_PER_TASK")),
        ({"OMP_NUM_THREADS": "many", "SLURM_CPUS_PER_TASK": "0"}, None),
    ],
)
def test_a_variable_asks_for_threads(
    variables: dict[str, str], expected: tuple[int, str] | None
) -> None:
    assert asked_for(variables) == expected


@pytest.mark.skipif(limits.cpu_count() < 2, reason="one CPU cannot be fewer")
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"])
def test_fewer_threads_that_a_variable_asks_for_are_used_and_said(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed bug: the two variables that limit threads were ignored."""
    for variable in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, "1")
    code = "import os; from bench.host.threads import apply; print(apply({}))"
    done = subprocess.run(
        [sys.executable, "-c", code.format("")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"descentbench: {name}=1: 1 thread for every library")
    assert python(code.format("2")) == "2"


@pytest.mark.parametrize("threads", [0, -1, 10**6])
def test_apply_refuses_what_it_cannot_do(threads: int) -> None:
    code = f"""
import os
from bench.host.threads import apply
before = dict(os.environ)
try:
    apply({threads})
except Exception as error:
    from backends import DescentbenchError
    assert isinstance(error, DescentbenchError)
    assert os.environ == before
    print(error)
"""
    cpus = limits.cpu_count()
    most = f"this process may use {cpus} CPU{'s' if cpus > 1 else ''}"
    expected = most if threads > 0 else "at least 1 is needed"
    assert python(code) == f"--threads {threads}: {expected}"


@pytest.mark.parametrize(
    ("siblings", "order"),
    [
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, [0, 2, 1, 3]),
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, [0, 1, 2, 3]),
        ({}, [0, 1, 2, 3]),
    ],
    ids=["neighbours", "halves", "unknown"],
)
def test_cores_come_before_their_second_threads(
    tmp_path: Path, siblings: dict[int, str], order: list[int]
) -> None:
    for cpu, text in siblings.items():
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text + "\n")
    assert spread([3, 1, 0, 2], tmp_path) == order


# machine


def test_description_survives_json() -> None:
    here = machine.describe(2)
    assert json.loads(json.dumps(here.as_dict())) == here.as_dict()
    assert dataclasses.asdict(here) == here.as_dict()
    assert here.threads == 2
    assert here.cpus == os.cpu_count()
    assert here.memory_bytes == limits.memory_bytes()
    assert here.versions["numpy"] == version("numpy")
    assert here.cpu
    assert here.os
    assert here.python == ".".join(map(str, sys.version_info[:3]))


def test_the_version_of_every_installed_library_is_recorded() -> None:
    """Check that `machine.LIBRARIES` has the package name of every library that is installed.

    The package name can differ from the import name. Dask is left out, because its backends
    call other libraries.
    """
    by_module = packages_distributions()
    for library in BUILT_IN:
        if library.imports in by_module and not library.distributed:
            assert set(by_module[library.imports]) & set(machine.LIBRARIES), library.name


def test_packages_that_are_not_there_have_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package"))
    assert machine.versions() == {"numpy": version("numpy")}


def test_identity_is_what_must_agree() -> None:
    gpu = Gpu("H100", 80 << 30, "550.1")
    here = replace(machine.describe(2), gpus=[gpu])
    same = replace(
        here,
        versions={},
        python="4.0",
        gpus=[replace(gpu, driver="560.0")],
    )
    others = [
        replace(here, cpu="another"),
        replace(here, caches=here.caches | {"L1": 1}),
        replace(here, cpus=here.cpus + 1),
        replace(here, threads=1),
        replace(here, gpus=[]),
        replace(here, gpus=[gpu, gpu]),
        replace(here, gpus=[replace(gpu, name="H200")]),
    ]
    assert machine.identity(same.as_dict()) == machine.identity(here.as_dict())
    assert len({machine.identity(m.as_dict()) for m in [here, *others]}) == 1 + len(others)


def test_identity_is_stable() -> None:
    recorded = {"cpu": "a", "caches": {"L2": 2, "L1": 1}, "cpus": 4, "threads": 2, "gpus": []}
    assert machine.identity(recorded | {"versions": {"numpy": "2"}}) == "640537252c8a"


def test_cpu_model(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    text = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Abacus 9 @ 1 Hz\n"
    (tmp_path / "proc/cpuinfo").write_text(text + "\n" + text.replace("9", "8"))
    assert machine.cpu_model(tmp_path) == "Abacus 9 @ 1 Hz"
    assert machine.cpu_model(tmp_path / "empty")


def test_caches_are_those_that_hold_data(tmp_path: Path) -> None:
    folder = tmp_path / "sys/devices/system/cpu/cpu0/cache"
    levels = [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2048K")]
    for i, (level, kind, size) in enumerate([*levels, ("3", "Unified", "")]):
        index = folder / f"index{i}"
        index.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (index / name).write_text(text + "\n")
    assert machine.caches(tmp_path) == {"L1": 48 << 10, "L2": 2 << 20}
    assert machine.caches(tmp_path / "empty") == {}


@pytest.mark.parametrize("caches", [{}, {"L2": 0}, {"L1": -1}])
def test_a_cache_that_nobody_knows_has_a_usual_size(caches: dict[str, int]) -> None:
    assert machine.last_cache_bytes({"caches": caches}) == machine.USUAL_CACHE_BYTES
    assert machine.last_cache_bytes({"caches": caches | {"L3": 5}}) == 5


@pytest.mark.skipif(os.name != "posix", reason="a shell script stands in for nvidia-smi")
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "echo 'NVIDIA H100 80GB HBM3, 81559, 550.54.15'; echo 'NVIDIA GB10, [N/A], 580.1'",
            [
                Gpu("NVIDIA H100 80GB HBM3", 81559 << 20, "550.54.15"),
                Gpu("NVIDIA GB10", None, "580.1"),
            ],
        ),
        ("echo 'No devices were found'", []),
        ("echo 'GPU, 1, 2'; exit 9", []),
        ("sleep 5; echo 'GPU, 1, 2'", []),
        (None, []),
    ],
    ids=["two", "none", "fails", "hangs", "missing"],
)
def test_gpus(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    expected: list[Gpu],
) -> None:
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "NVIDIA_SMI_SECONDS", 0.5 if "sleep" in str(script) else 20)
    assert machine.gpus() == expected


# memory


@linux
def test_peak_is_seen_after_a_reset_and_forgotten_by_the_next() -> None:
    code = f"""
from bench.host.memory import peak_rss_bytes, reset_peak
assert reset_peak()
before = peak_rss_bytes()
block = b"x" * {200 * MB}
during = peak_rss_bytes()
del block
after = peak_rss_bytes()
assert reset_peak()
print(before, during, after, peak_rss_bytes())
"""
    before, during, after, reset = map(int, python(code).split())
    assert 195 * MB < during - before < 230 * MB
    assert after == pytest.approx(during, abs=5 * MB)
    assert reset == pytest.approx(before, abs=20 * MB)


@linux
def test_provided_memory_is_given_back_and_not_in_the_peak() -> None:
    code = f"""
from bench.host.memory import peak_rss_bytes, provide
from bench.host.procfs import ROOT, number
faults = lambda: int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[7])
before, touched = peak_rss_bytes(), faults()
assert provide({300 * MB})
print(before, peak_rss_bytes(), number(ROOT / "proc/self/status", "VmRSS"), faults() - touched)
"""
    before, peak, held, faults = map(int, python(code).split())
    assert peak < before + 20 * MB
    assert held < before + 20 * MB
    assert faults > 100  # at least one fault for each huge page


@linux
def test_freed_blocks_are_kept_until_they_must_not_be() -> None:
    """Check that freed memory is kept for reuse until `keep_no_blocks` is called."""
    code = """
import ctypes
from bench.host.memory import keep_no_blocks, rss_bytes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def kept():
    blocks = [libc.malloc(1 << 20) for _ in range(101)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 20)
    before = rss_bytes()
    for block in blocks[:-1]:  # the last block keeps the heap's end in use
        libc.free(block)
    return 100 * (1 << 20) - (before - rss_bytes())
kept()  # after the first free, blocks of this size are kept
print(kept())
keep_no_blocks()
libc.malloc_trim(0)
[libc.malloc(1 << 20) for _ in range(100)]  # use up the free part of the heap
print(kept())
"""
    usually, then = map(int, python(code).split())
    assert usually > 50 * MB
    assert then < 5 * MB


def test_without_a_reset_no_memory_is_provided(tmp_path: Path) -> None:
    assert memory.provide(100 * MB, tmp_path) is False


def test_without_proc_there_is_no_reset_but_a_peak(tmp_path: Path) -> None:
    assert memory.reset_peak(tmp_path) is False
    peak = memory.peak_rss_bytes(tmp_path)
    assert 10 * MB < peak < limits.memory_bytes()
    if sys.platform == "linux":
        assert peak >= memory.peak_rss_bytes() / 2
