"""Test the Dask backends.

They must give the same w as one machine, and clear errors when workers or schedulers fail.
Workers are real processes. Tests that kill workers start a scheduler and workers as a user
would.
"""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.support.runs import INTERRUPTIBLE

pytest.importorskip("distributed", reason="dask is not installed")

from click.testing import CliRunner
from distributed import Client

from backends import BackendError, ProblemError, catalogue, generate, losses, open_backend
from backends.dask import cluster
from backends.dask.sharing import Share, share_of
from backends.names import Name
from backends.problem import TOLERANCE, Problem
from backends.reference import relative_error
from backends.rows.datafile import open_source
from backends.rows.made import Generated, InMemory
from backends.rows.source import Source
from bench.cli import main
from tests.support import losses as check

RATE = 0.001

KERNELS = [
    str(entry.name)
    for entry in catalogue.entries(["dask"])
    if entry.available and entry.name.technique and entry.name.device == "cpu"
]


@pytest.fixture(autouse=True)
def _own_cluster() -> Iterator[None]:
    """Close the shared cluster after the tests of this file."""
    yield
    if os.environ.get(cluster.SCHEDULER):
        cluster.close()


@pytest.fixture(scope="module", params=[1, 2, 3])
def embedded(request: pytest.FixtureRequest) -> Iterator[int]:
    """Start a local cluster with 1, 2 or 3 workers, and return that number."""
    cluster.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cluster.WORKERS, str(request.param))
        yield request.param
        cluster.close()


def descend(backend: str, source: object, steps: int = 10) -> np.ndarray:
    placed = open_backend(backend).place(source, RATE)
    return placed.run(np.ones(source.features), steps)


def right(source: object, w: np.ndarray, steps: int = 10) -> bool:
    expected = source.reference.iterate(steps, RATE, np.ones(source.features))
    return relative_error(w, expected) <= (1e-6 if source.dtype == "float32" else 1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_w_is_that_of_one_machine(embedded: int, kernel: str) -> None:
    """Use 1009 rows, a prime number, so that the workers get unequal numbers of rows."""
    if embedded != 2 and kernel != "dask:numpy":
        pytest.skip("compiles in each worker; two of them will do")
    for features in (1, 32):
        for dtype in TOLERANCE:
            source = Generated(1009, features, dtype)
            placed = open_backend(kernel).place(source, RATE)
            w = placed.run(np.ones(features), 10)
            assert right(source, w)
            assert np.array_equal(w, placed.run(np.ones(features), 10))
            assert placed.loss(w) == pytest.approx(source.reference.loss(w), rel=1e-5)
            assert placed.gradient(w) * 2 / 1009 == pytest.approx(
                source.reference.gradient(w), rel=1e-4, abs=1e-4
            )
    assert len(placed.ranks) == embedded


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_array_expression_comes_to_the_same_w(embedded: int, dtype: str) -> None:
    for features in (1, 3):
        source = Generated(70_001, features, dtype)  # two chunks
        placed = open_backend("dask").place(source, RATE)
        w = placed.run(np.ones(features), 5)
        assert right(source, w, 5)
        assert placed.loss(w) == pytest.approx(source.reference.loss(w), rel=1e-5)


def test_a_loss_reaches_the_workers(embedded: int, tmp_path: Path) -> None:
    """Test built-in losses and a user's loss with both kinds of Dask backends."""
    if embedded != 2:
        pytest.skip("two workers will do")
    file = tmp_path / "mine.py"
    file.write_text(
        "class cosh:\n"
        "    value = lambda xp, p, y: xp.log(xp.exp(p - y) + xp.exp(y - p))\n"
        "    slope = lambda xp, p, y: xp.tanh(p - y)\n"
    )
    for loss in (losses.LOG_LOSS, losses.HUBER, losses.find(f"{file}:cosh")):
        source = Generated(70_001, 3, "float64", loss=loss)
        w = np.full(3, 0.1)
        for backend in ("dask", "dask:numpy"):
            check.check(open_backend(backend).place(source, RATE), loss, source.load(), w)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_descends_with_the_sources_loss(embedded: int, kernel: str) -> None:
    name = Name.parse(kernel)
    if embedded != 2 or catalogue.reason_against(name, losses.LOG_LOSS):
        pytest.skip("two workers will do, for kernels that take the loss")
    source = Generated(1009, 3, "float32", loss=losses.LOG_LOSS)
    placed = open_backend(kernel).place(source, RATE)
    check.check(placed, losses.LOG_LOSS, source.load(), check.start(3))


def test_the_same_partition_twice_is_bit_equal(embedded: int) -> None:
    source = Generated(30_011, 32)
    once, again = (descend("dask:numpy", source, 50) for _ in range(2))
    assert np.array_equal(once, again)


def test_rows_of_an_array_travel(embedded: int) -> None:
    made = generate(501, 3)
    problem = Problem(made.x, made.y)
    assert right(problem, descend("dask:numpy", problem))


def test_a_worker_imports_no_library_but_its_kernels(embedded: int) -> None:
    """Check that a worker that runs NumPy imports neither Numba nor PyTorch."""
    if embedded > 1:
        pytest.skip("several add up with PyTorch, and two have run all kernels")
    descend("dask:numpy", Generated(100))
    loaded = cluster.connect().run(lambda: {"numba", "torch"} & sys.modules.keys())
    assert not any(loaded.values())


@pytest.mark.parametrize("name", [cluster.WORKERS, cluster.MEMORY])
@pytest.mark.parametrize("text", ["abc", "0", "-1", ""])
def test_a_variable_that_is_no_number_is_named(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed bug: the errors were a ValueError and a division by zero."""
    monkeypatch.setenv(name, text)
    cluster.close()
    with pytest.raises(BackendError, match=f"{name}={text}: give a whole number"):
        cluster.connect()


def test_fewer_rows_than_workers(embedded: int) -> None:
    source = Generated(2, 1)
    assert right(source, descend("dask:numpy", source))


def test_fewer_row_groups_than_workers(embedded: int, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    made = generate(1000, 2, "float64")
    columns = {"a": made.x[:, 0], "b": made.x[:, 1], "y": made.y}
    parquet.write_table(pa.table(columns), tmp_path / "one.parquet")
    source = open_source(tmp_path / "one.parquet", dtype="float64")
    w = descend("dask:numpy", source)
    assert relative_error(w, made.reference.iterate(10, RATE, np.ones(2))) < 1e-12


def test_sums_are_added_up_here_where_workers_lack_pytorch(embedded: int) -> None:
    source = Generated(1009, 3)
    placed = open_backend("dask:numpy").place(source, RATE)
    placed.reduces = False
    assert right(source, placed.run(np.ones(3), 10))


def test_rows_beyond_a_workers_memory_are_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    from backends.dask import ranks

    memory = min(
        worker["memory_bytes"] for worker in cluster.workers(cluster.connect()).values()
    )
    monkeypatch.setattr(ranks, "MEMORY_SHARE", 50e6 / memory)
    source = Generated(2_000_000, 3)
    assert right(source, descend("dask:numpy", source, 2), 2)


def test_what_one_worker_cannot_read_is_told_with_its_address(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.ones((100, 3)))
    source = open_source(path)
    path.unlink()
    with pytest.raises(ProblemError, match=r"worker tcp://127\.0\.0\.1:\d+: .*rows\.npy: "):
        open_backend("dask:numpy").place(source, RATE)


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.connect()
    monkeypatch.setattr(cluster.platform, "python_version_tuple", lambda: ("2", "7", "18"))
    with pytest.raises(BackendError, match=r"worker tcp\S+ has python 3.*this process 2\.7"):
        open_backend("dask:numpy").place(Generated(100), RATE)


# A cluster that exists


class Processes:
    """A scheduler and workers as separate processes, which a test can kill.

    The workers have no nanny process, so nothing restarts a killed worker.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler, found = self._start(
            r"Scheduler at:\s+(tcp://\S+)", "scheduler", "--host", "127.0.0.1", "--port", "0"
        )
        self.address = found[1]

    def add(self) -> None:
        """Start a worker, and wait until the scheduler has registered it."""
        worker, _ = self._start(
            "Registered to:", "worker", self.address, "--nthreads", "1", "--no-nanny"
        )
        self.workers.append(worker)

    def _start(
        self, pattern: str, *arguments: str
    ) -> tuple[subprocess.Popen[bytes], re.Match[str]]:
        log = self.folder / f"{arguments[0]}-{len(self.workers)}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments, "--no-dashboard"], stderr=output
            )
        while not (found := re.search(pattern, log.read_text())):
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        return process, found

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Processes]:
    cluster.close()
    started = Processes(tmp_path)
    monkeypatch.setenv(cluster.SCHEDULER, started.address)
    yield started
    cluster.close()
    started.end()


def kill_at_a_step(
    monkeypatch: pytest.MonkeyPatch, workers: list[subprocess.Popen[str]]
) -> None:
    """Arrange that the workers are killed while a descent computes its third group of steps."""
    from backends.dask import ranks

    monkeypatch.setattr(ranks, "CHECKPOINT_SECONDS", 0.3)
    steps, calls = ranks.Ranks._steps, [0]

    def killing(self: object, w: np.ndarray, take: int) -> np.ndarray:
        calls[0] += 1
        if calls[0] == 3:
            for worker in workers:
                threading.Timer(0.1, worker.kill).start()
        return steps(self, w, take)

    monkeypatch.setattr(ranks.Ranks, "_steps", killing)


def test_a_killed_worker_costs_time_and_nothing_else(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        processes.add()
    source = Generated(200_003, 4, "float64")
    placed = open_backend("dask:numpy").place(source, RATE)
    assert len(placed.ranks) == 3
    kill_at_a_step(monkeypatch, processes.workers[:1])
    monkeypatch.setattr(cluster, "ENOUGH_SECONDS", 0.5)
    w = placed.run(np.ones(4), 1500)
    assert processes.workers[0].poll() == -signal.SIGKILL
    assert len(placed.ranks) == 2
    assert right(source, w, 1500)


def test_when_all_workers_are_lost_it_stops(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.add()
    placed = open_backend("dask:numpy").place(Generated(200_003, 4), RATE)
    kill_at_a_step(monkeypatch, processes.workers)
    monkeypatch.setattr(cluster, "RESTART_SECONDS", 1.0)
    with pytest.raises(BackendError, match="all workers are gone, and none came back"):
        placed.run(np.ones(4), 100_000)


def test_a_scheduler_that_goes_away_is_an_error(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.add()
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2.0)  # wait for a lost scheduler
    placed = open_backend("dask:numpy").place(Generated(1000), RATE)
    processes.end()
    with pytest.raises(BackendError, match="the Dask scheduler is gone"):
        placed.run(np.ones(1), 10)


def test_a_scheduler_without_workers_is_an_error(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1.0)
    with pytest.raises(BackendError, match=r"has no worker after 1 s; start one: dask worker"):
        open_backend("dask:numpy").place(Generated(100), RATE)


NO_ADDRESSES = ["head", "tcp://", "tcp://head:port", "http://head:8786", "tls://127.0.0.1:1"]
"""Invalid scheduler addresses.

In order: a word, no host, a port that is not a number, an unknown protocol, and TLS without
keys.
"""


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_that_is_none(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the error for an invalid scheduler address, and that no open client is left."""
    cluster.close()
    monkeypatch.setenv(cluster.SCHEDULER, address)
    before = open_clients()
    with pytest.raises(BackendError, match=r"no address of a Dask scheduler: .*; give one"):
        cluster.connect()
    assert open_clients() <= before


def open_clients() -> set[int]:
    """Return the ids of all Dask clients in this process that are not closed."""
    clients = [each for each in gc.get_objects() if issubclass(type(each), Client)]
    return {id(each) for each in clients if each.status != "closed"}


def test_no_scheduler_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.close()
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:1")
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(
        BackendError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"
    ):
        open_backend("dask:numpy").place(Generated(100), RATE)


def test_the_program_stops_with_a_checkpoint_and_goes_on_from_it(
    processes: Processes, tmp_path: Path
) -> None:
    """Kill the only worker during a fit; then resume the fit with NumPy in a new process."""
    processes.add()
    kept = tmp_path / "w.json"
    size = ["--rows", "50003", "--features", "4", "--dtype", "float64"]
    fit = [sys.executable, "-m", "bench", "fit", *size, "--steps", "3000", "--every", "100"]
    running = subprocess.Popen(
        [
            *(*fit, "--backend", "dask:numpy"),
            *("--scheduler", processes.address, "--checkpoint", str(kept)),
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for_steps(running, kept, 101)
    processes.workers[0].kill()
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (2, "")
    (line,) = err.splitlines()
    assert re.match(
        r"descentbench: all workers are gone.*; w after step \d+ is in .*w\.json", line
    )

    ended = subprocess.run(
        [*fit, "--backend", "numpy", "--resume", str(kept), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    w = json.loads(ended.stdout)["w"]
    source = Generated(50_003, 4, "float64")
    assert relative_error(w, source.reference.iterate(3000, RATE, np.zeros(4))) < 1e-12


def wait_for_steps(running: subprocess.Popen[str], kept: Path, steps: int) -> None:
    """Wait until the checkpoint file contains at least this number of steps."""
    while not kept.exists() or json.loads(kept.read_text())["steps"] < steps:
        assert running.poll() is None, running.communicate()
        time.sleep(0.01)


def processes_with(mark: str) -> list[int]:
    """Return the ids of processes whose environment contains the text `mark`."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:  # the process has ended or belongs to another user
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    mark, kept = f"DESCENTBENCH_TEST_{os.getpid()}_{time.time_ns()}", tmp_path / "w.json"
    running = subprocess.Popen(
        [
            *(sys.executable, "-c", INTERRUPTIBLE, "fit", "--backend", "dask:numpy"),
            *("--workers", "2", "--rows", "200000", "--steps", "1000000"),
            *("--checkpoint", str(kept)),
        ],
        env=os.environ | {mark: "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for_steps(running, kept, 21)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "interrupted; w after step" in err
    deadline = time.monotonic() + 5
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not processes_with(mark)


def test_a_second_cluster_finds_ports_of_its_own() -> None:
    """Check that a second cluster works without a warning if Dask's default port is in use."""
    with socket.socket() as taken:
        with suppress(OSError):  # another program uses the port already
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        command = [sys.executable, "-m", "bench", "fit", "--backend", "dask:numpy"]
        done = subprocess.run(
            [*command, "--workers", "1", "--rows", "100", "--steps", "2"],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert "8787" not in done.stderr


def test_fit_gives_the_workers_the_file_and_not_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = generate(1009, 2, "float64")
    np.save(tmp_path / "rows.npy", np.column_stack([made.x, made.y]))
    shares: list[Share] = []

    def spied(source: Source, start: int, stop: int) -> Share:
        shares.append(share_of(source, start, stop))
        return shares[-1]

    monkeypatch.setattr("backends.dask.ranks.share_of", spied)
    options = ("--dtype", "float64", "--lr", RATE, "--steps", 10, "--json")
    command = ("fit", "--backend", "dask:numpy", "--data", tmp_path / "rows.npy", *options)
    done = CliRunner().invoke(main, [*map(str, command)])
    assert done.exit_code == 0, done.output
    w = json.loads(done.stdout)["w"]
    assert relative_error(w, made.reference.iterate(10, RATE, np.zeros(2))) < 1e-12
    assert shares
    for share in shares:
        assert not isinstance(share.source, InMemory)
        assert "rows.npy" in share.source.source
