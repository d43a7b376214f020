"""Test processes that run several tasks: forks, the hot loop over tasks, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.host.noise import Noise
from bench.measure.forkserver import MODULES
from bench.measure.launcher import Launcher
from bench.measure.version import TREE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

TASK = """
import os, signal, sys, time
from pathlib import Path

def test_it() -> None:
    before = getattr(sys, "a_mark", 0)
    sys.a_mark = before + 1
    Path(os.environ["TOLD"]).write_text(f"{os.getpid()} {os.getppid()} {before}")
    exec(os.environ.get("DO", ""))
"""
"""A test file that writes its process id, its parent's id and how many tests ran before."""

NEW = """
import json, sys
import pytest
pytest.main([*sys.argv[2:], "--collect-only", "-q"])
json.dump(sorted(sys.modules), open(sys.argv[1], "w"))
"""
"""Program that imports what a new process needs for a case; it writes the imported modules."""

KEPT = """
import importlib, json, sys
import bench.measure.forkserver
for name in bench.measure.forkserver.MODULES:
    importlib.import_module(name)
json.dump(sorted(sys.modules), open(sys.argv[1], "w"))
"""
"""Program that imports what a process imports before forks; it writes the imported modules."""


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    (tmp_path / "test_task.py").write_text(TASK)
    found = Launcher(tmp_path)
    yield found
    found.end_all()


def run(
    launcher: Launcher, name: str, *, fork: bool, do: str = "", seconds: float = 60
) -> tuple[int | None, list[int]]:
    """Run the task; return its exit status and the numbers that it wrote."""
    folder, deadline = launcher.folder, time.monotonic() + seconds
    told = folder / "told"
    told.unlink(missing_ok=True)
    status = launcher.call(
        name,
        [str(folder / "test_task.py"), "-c", os.devnull, "-q", "-p", "no:cacheprovider"],
        os.environ | {"TOLD": str(told), "DO": do},
        folder / "log",
        lambda: time.monotonic() < deadline,
        fork=fork,
    )
    return status, [int(number) for number in told.read_text().split()]


def test_every_fork_is_new_and_a_hot_process_stays(launcher: Launcher) -> None:
    forks = [run(launcher, "cold", fork=True) for _ in range(2)]
    assert [status for status, _ in forks] == [0, 0]
    (one, server, none), (other, same, also_none) = (told for _, told in forks)
    assert (server, none, also_none) == (same, 0, 0)
    assert one != other
    stays = [run(launcher, "hot", fork=False) for _ in range(2)]
    assert [told[2] for _, told in stays] == [0, 1]
    assert stays[0][1][0] == stays[1][1][0] != server
    launcher.end("hot")
    assert run(launcher, "hot", fork=False)[1][2] == 0


@pytest.mark.parametrize("fork", [True, False])
def test_ends_are_told_as_of_a_process_of_its_own(launcher: Launcher, *, fork: bool) -> None:
    assert run(launcher, "a", fork=fork, do="assert False")[0] == 1
    assert "1 failed" in (launcher.folder / "log").read_text()
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    assert run(launcher, "a", fork=fork, do=kill)[0] == -signal.SIGKILL
    assert run(launcher, "a", fork=fork, do="os._exit(0)")[0] == 0
    status, (process, *_) = run(launcher, "a", fork=fork, do="time.sleep(600)", seconds=5)
    assert status is None
    assert not fork or not Path(f"/proc/{process}").exists()
    assert run(launcher, "a", fork=fork)[0] == 0


@pytest.mark.parametrize("fork", [True, False])
def test_the_processor_time_is_no_disturbance(launcher: Launcher, *, fork: bool) -> None:
    """Processor time of the run itself must not count as time of other programs."""
    run(launcher, "a", fork=fork)  # starts the process
    noise = Noise()
    before = noise.before["own_s"]
    run(launcher, "a", fork=fork, do="sum(range(10**7))")
    after = Noise().before["own_s"]
    assert after > before


def test_a_fork_has_the_threads_of_a_new_process(launcher: Launcher) -> None:
    """Check that a fork has all of NumPy's threads, which start when NumPy is imported."""
    threads = "len(os.listdir('/proc/self/task'))"
    do = f"""
import numpy
from bench.host.threads import apply
apply(2)
before = {threads}
numpy.ones((256, 256)) @ numpy.ones((256, 256))
assert before == {threads} > 1
"""
    assert run(launcher, "a", fork=True, do=do)[0] == 0


def test_a_fork_has_loaded_no_more_than_a_new_process(tmp_path: Path) -> None:
    """Check that nothing is imported before the fork that a new process would not import."""
    arguments = [
        str(TREE / "bench" / "test_setup.py"),
        *("-c", os.devnull, "--rootdir", str(TREE / "bench"), "-p", "no:cacheprovider"),
        *("-p", "pytest_benchmark.plugin", "--benchmark-only"),
        "--row=numpy/100x1/float32",
    ]
    found = []
    for program, further in ((NEW, arguments), (KEPT, [])):
        path = tmp_path / "modules"
        subprocess.run(
            [sys.executable, "-c", program, str(path), *further],
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            cwd=TREE,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found.append(set(json.loads(path.read_text())))
    new, kept = found
    assert set(MODULES) <= kept
    assert kept - new == {"bench.measure.forkserver", "resource"}
