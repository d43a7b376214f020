"""Run each task in a child process, in which pytest-benchmark measures the cases."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any

from backends import tuning
from backends.names import libraries
from bench.host.limits import out_of_memory_kills
from bench.host.noise import Noise
from bench.host.process import RUNNING, Watch, call
from bench.host.threads import environment
from bench.measure.alternation import Side
from bench.measure.filerows import FileRows
from bench.measure.known_losses import options
from bench.measure.launcher import Launcher
from bench.measure.plan import Task
from bench.measure.shared import of_this_process
from bench.measure.version import TREE
from bench.results.case import BASELINES, Case
from bench.results.record import Measurement, Outcome

INTERRUPTED = 2
"""Exit code of pytest if an interrupt has stopped it before all tests ran."""


@dataclass(frozen=True)
class Children:
    """Runs each task in a child process.

    Attributes
    ----------
    threads : int
        Threads that each library may use.
    seconds : float
        Sampling time of a case in seconds.
    scratch : Path
        Folder for the children's files and for compiled code. Later children reuse the compiled
        code.
    logs : Path
        Folder for the output of children that died.
    timeout : float
        Time limit for a case in seconds.
    tree : Path
        Root folder of the checkout of descentbench whose benchmarks run.
    budget : float
        Time limit for a whole task in seconds.
    data : FileRows, optional
        File whose rows replace synthetic rows.
    launcher : Launcher, optional
        Object that keeps child processes alive for several tasks. Without a launcher, each task
        starts a new process.
    side : Side, optional
        Connection to a second child process; the two children measure alternately. None means
        that the child measures alone.
    stop : Event
        Setting this event ends the running child.
    """

    threads: int
    seconds: float
    scratch: Path
    logs: Path
    timeout: float
    tree: Path = TREE
    budget: float = math.inf
    data: FileRows | None = None
    launcher: Launcher | None = None
    side: Side | None = None
    stop: Event = field(default_factory=Event)

    def watched(self, task: Task) -> Outcome:
        """Run one task; the outcome also says how much other programs disturbed the machine."""
        noise = Noise()
        outcome = self.run(task)
        return replace(outcome, noise=noise.seen())

    def run(self, task: Task) -> Outcome:
        """Run one task in a child process.

        If the child dies while it measures a case, this case fails, and a new child measures
        the other cases of the task.
        """
        warm = self.scratch / "warm"
        folder = Path(tempfile.mkdtemp(dir=self.scratch)) if task.cold else warm
        folder.mkdir(exist_ok=True)
        files = _Files(folder)
        files.clear()
        settings = environment(self.threads) | cache_folders(folder)
        if task.cold:  # a setup does not include trials that run once per machine
            settings[tuning.VARIABLE] = tuning.known_at_most()
        # Without this variable, every child would import all installed pytest plug-ins.
        settings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        if self.data:
            settings |= self.data.environment()
        else:
            settings |= self._share(task)
        watch, kills = Watch(files.running, self.timeout, self.budget), out_of_memory_kills()
        status = self._call(task, files, settings, watch)
        if task.cold:  # later children reuse the code that this child compiled
            shutil.copytree(folder, warm, dirs_exist_ok=True, copy_function=put)
        if status != INTERRUPTED and (outcome := files.outcome()):
            return outcome
        watch.look()  # the child may have started another case
        why = self._died(status, watch, out_of_memory_kills() > kills)
        log = self._keep(files.log, task, watch.row)
        return self._without(watch, task, f"{why}; see {log}")

    def _share(self, task: Task) -> dict[str, str]:
        """Generate the synthetic data of a task in shared memory, for the child process.

        The result is an environment variable for the child, whose value is the path of the
        folder with the data.
        """
        shared = of_this_process()
        shared.provide(map(Case.parse, task.cases))
        return shared.environment

    def _arguments(self, task: Task, files: _Files) -> list[str]:
        """Return the arguments of pytest."""
        return [
            str(self.tree / "bench" / task.suite),
            *("-c", os.devnull, "--rootdir", str(self.tree / "bench")),
            *("-p", "no:cacheprovider", "-q"),
            *("-p", "pytest_benchmark.plugin"),
            *("--benchmark-only", "--benchmark-disable-gc"),
            *(f"--benchmark-json={files.benchmarks}", f"--failures={files.failures}"),
            *(f"--threads={self.threads}", f"--seconds={self.seconds}"),
            *(f"--row={case}" for case in task.cases),
            *options(Case.parse(case).loss for case in task.cases),
            *(["--alone"] if task.cold and task.memory else []),
        ]

    def _call(
        self, task: Task, files: _Files, settings: dict[str, str], watch: Watch
    ) -> int | None:
        """Run a child; return its exit status, or None if a time limit or `stop` ended it."""

        def patience() -> bool:
            return watch() and not self.stop.is_set()

        arguments = self._arguments(task, files)
        command = [sys.executable, "-m", "pytest", *arguments]
        if self.side is not None:
            settings = os.environ | settings | self.side.environment
            descriptors = self.side.descriptors
            try:
                return call(command, settings, self.tree, files.log, patience, descriptors)
            finally:
                self.side.leave()
        settings = os.environ | settings
        if self.launcher is None or not task.process:
            return call(command, settings, self.tree, files.log, patience)
        place = task.process, arguments, settings, files.log, patience
        return self.launcher.call(*place, fork=task.cold)

    def _without(self, watch: Watch, task: Task, why: str) -> Outcome:
        """Return the outcome of a task whose child died.

        The case that the child was measuring fails with the reason `why`. A new child measures
        the other cases. If the child was measuring no case of the task, or if no time is left,
        all cases of the task fail.
        """
        rest = replace(task, cases=tuple(case for case in task.cases if case != watch.row))
        left = self.budget - watch.seconds
        if len(rest.cases) == len(task.cases) or left <= 0 or self.stop.is_set():
            # All backends' cases fail. The baselines do not, so that later tasks measure them.
            return Outcome(failures=dict.fromkeys(backend_cases(task), why))
        others = Outcome()
        if backend_cases(rest):
            others = replace(self, budget=left, side=None).run(rest)
        return replace(others, failures=others.failures | {watch.row: why})

    def _died(self, status: int | None, watch: Watch, out_of_memory: bool) -> str:
        """Return the reason for the end of a child process, such as "killed by SIGSEGV"."""
        if status is None:
            return f"stopped after {min(self.timeout, watch.seconds):.3g} s"
        if status >= 0:
            return f"its process ended with exit code {status}"
        memory = ": memory ran out" if out_of_memory else ""
        return f"its process was killed by {signal.Signals(-status).name}{memory}"

    def _keep(self, log: Path, task: Task, case: str) -> Path:
        """Copy the log of a failed child process to the folder `logs`; return the new path."""
        name = task.name if case in task.name else ", ".join(filter(None, (task.name, case)))
        path = self.logs / f"{name.replace('/', ' ')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, path)
        return path


class _Files:
    """Paths of the files that a child process writes to the folder `folder`."""

    def __init__(self, folder: Path) -> None:
        self.benchmarks = folder / "benchmarks.json"
        self.failures = folder / "failures.json"
        self.running = folder / RUNNING
        self.log = folder / "log"

    def clear(self) -> None:
        """Remove the files that an earlier child process wrote to this folder."""
        for file in (self.benchmarks, self.failures, self.running):
            file.unlink(missing_ok=True)

    def outcome(self) -> Outcome | None:
        """Return the child's measurements, or None if the child did not finish."""
        if not self.failures.exists():  # a child writes this file last
            return None
        failed: dict[str, str] = json.loads(self.failures.read_text(encoding="utf-8"))
        # If all benchmarks failed, pytest-benchmark leaves its file empty.
        wrote = self.benchmarks.exists() and self.benchmarks.stat().st_size
        found = _measurements(self.benchmarks) if wrote else Outcome()
        return replace(found, failures=failed)


def cache_folders(folder: Path) -> dict[str, str]:
    """Return environment variables that make libraries store compiled code in `folder`."""
    caches = (cache for library in libraries().values() for cache in library.caches)
    return {cache: str(folder / cache) for cache in caches}


def put(source: str, target: str) -> None:
    """Replace the file `target` by a copy of `source`.

    A process that has loaded machine code from the old file keeps the old content.
    """
    unfinished = f"{target}.{os.getpid()}"
    shutil.copy2(source, unfinished)
    Path(unfinished).replace(target)


def backend_cases(task: Task) -> list[str]:
    """Return the cases of a task that measure a backend, not a baseline."""
    return [case for case in task.cases if Case.parse(case).backend not in BASELINES]


def _measurements(path: Path) -> Outcome:
    """Read the measurements, and descriptions of thread pools, from pytest-benchmark's file."""
    raw = json.loads(path.read_text())

    def measurement(benchmark: dict[str, Any]) -> Measurement:
        info = benchmark["extra_info"]
        kind, row, steps = info.pop("kind"), info.pop("row"), info.pop("steps", 1)
        # Older checkouts have no field "seconds_of"; their times are seconds per round.
        unit = steps if info.pop("seconds_of", "round") == "step" else 1
        seconds = tuple(unit * s for s in benchmark["stats"]["data"])
        return Measurement(kind, row, seconds, steps, info)

    pools = raw["machine_info"]["thread_pools"]
    # A benchmark whose last w was wrong has timings, but no field "kind".
    sound = [b for b in raw["benchmarks"] if "kind" in b["extra_info"]]
    return Outcome(tuple(map(measurement, sound)), {}, pools)
