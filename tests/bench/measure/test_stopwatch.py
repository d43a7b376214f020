"""Test the timing, with backends that know their times and backends whose w is wrong.

No test compares a time with a fixed number of seconds. A backend notes how long its work took,
and the measured time must agree.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends import generate, names, open_backend
from bench.measure.plan import Task
from bench.measure.verify import LEARNING_RATE, slow_rate
from bench.measure.worker import Children
from bench.results.record import Measurement, Outcome
from tests.support.command import declare
from tests.support.contract import check_iterates

CLOSE = 0.05
"""Largest allowed relative difference between a measured time and the noted time."""

CLOCKED = '''
"""A library whose backends note how long their import, placing and steps took."""

import json, os, time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import numpy as np

from backends.names import Library

LIBRARY = Library(
    "clocked",
    "clocked",
    {"": "Plain", "device": "Device", "hasty": "Hasty"},
    "clocked_core",
    "pip install clocked",
)

BLOCK = bytes(1 << 16)


def work(kind, blocks, **more):
    """Hash this number of blocks, and note the time that it took."""
    began = time.perf_counter()
    for _ in range(blocks):
        sha256(BLOCK).digest()
    note = {"kind": kind, "seconds": time.perf_counter() - began, **more}
    with open(os.environ["CLOCKED_NOTES"], "a") as notes:
        notes.write(json.dumps(note) + "\\n")


class Plain:
    """A backend whose step hashes one block; w comes from the reference."""

    first = True

    def __init__(self, problem, learning_rate, device):
        self.reference, self.rate = problem.reference, learning_rate
        work("place", 2000)

    def run(self, w, steps):
        if Plain.first:
            Plain.first = False
            work("first_call", 3000)
        work("run", steps, steps=steps)
        return self.reference.iterate(steps, self.rate, w)


DEVICE = ThreadPoolExecutor(1)


class Device(Plain):
    """A backend that works in another thread and waits for the result."""

    def run(self, w, steps):
        return DEVICE.submit(Plain.run, self, w, steps).result()


class Hasty(Plain):
    """A backend that works in another thread and does not wait for the result."""

    def run(self, w, steps):
        result = np.zeros(len(w))

        def later():
            result[:] = Plain.run(self, w, steps)

        DEVICE.submit(later)
        return result

    def gradient(self, w):
        raise NotImplementedError

    loss = gradient

'''

CORE = """
import clocked

clocked.work("import", 4000)
"""

LYING = '''
"""Backends that leave out work, so that their w is wrong."""

from backends.names import Library
from backends.numpy import Plain

TECHNIQUES = {
    "": "Plain",
    "skipping": "Skipping",
    "cached": "Cached",
    "early": "Early",
    "shared": "Shared",
}

LIBRARY = Library("lying", "lying", TECHNIQUES, install="pip install lying")


class Skipping(Plain):
    """A backend that takes at most 500 steps."""

    def run(self, w, steps):
        return super().run(w, min(steps, 500))


class Cached(Plain):
    """A backend that takes many steps once, and then returns the saved result."""

    kept = None

    def run(self, w, steps):
        if steps < 100:
            return super().run(w, steps)
        if Cached.kept is None:
            Cached.kept = super().run(w, steps)
        return Cached.kept.copy()


class Early(Plain):
    """A backend that takes its step during placing."""

    def __init__(self, problem, learning_rate, device):
        super().__init__(problem, learning_rate, device)
        self.end = Plain.run(self, [1.0] * problem.features, 1)

    def run(self, w, steps):
        return self.end.copy() if steps == 1 else super().run(w, steps)


class Shared(Plain):
    """A backend that uses the first data with this number of features for all others."""

    seen = {}

    def __init__(self, problem, learning_rate, device):
        first = self.seen.setdefault(problem.features, problem)
        super().__init__(first, learning_rate, device)

'''

SIZE = "/100x1/float32"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the two made-up packages for this process and its child processes."""
    folder = tmp_path_factory.mktemp("packages")
    declare(folder, "clocked", CLOCKED)
    declare(folder, "lying", LYING)
    (folder / "clocked_core.py").write_text(CORE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("CLOCKED_NOTES", str(folder / "notes"))
        libraries = [importlib.import_module(name).LIBRARY for name in ("clocked", "lying")]
        for library in libraries:
            names.register(library)
        yield folder
        for library in libraries:
            names.unregister(library.name)
            sys.modules.pop(library.module, None)


def child(folder: Path, suite: str, *backends: str) -> tuple[Outcome, list[dict[str, Any]]]:
    """Return what a child process measured, and the times that the backends noted."""
    notes = folder / "notes"
    notes.unlink(missing_ok=True)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    children = Children(1, 0.4, scratch, folder / "logs", timeout=300)
    outcome = children.run(Task(suite, suite, tuple(f"{b}{SIZE}" for b in backends)))
    lines = notes.read_text().splitlines() if notes.exists() else []
    return outcome, [json.loads(line) for line in lines]


def only(outcome: Outcome, kind: str) -> Measurement:
    (found,) = [m for m in outcome.measurements if m.kind == kind]
    return found


def worked(notes: list[dict[str, Any]], kind: str) -> list[float]:
    return [note["seconds"] for note in notes if note["kind"] == kind]


# known costs


def test_what_is_paid_once_is_in_its_own_column(installed: Path) -> None:
    outcome, notes = child(installed, "test_setup.py", "clocked")
    assert outcome.failures == {}
    (imported,), (first,) = worked(notes, "import"), worked(notes, "first_call")
    placed, *_ = worked(notes, "place")
    (step, *_) = worked(notes, "run")
    assert only(outcome, "import").seconds == (pytest.approx(imported, rel=CLOSE),)
    assert only(outcome, "place").seconds == (pytest.approx(placed, rel=CLOSE),)
    assert only(outcome, "first_call").seconds == (pytest.approx(first + step, rel=CLOSE),)


def temporaries() -> float:
    """Return how many bytes per row NumPy allocates in a step, measured by `tracemalloc`.

    Usually there are two float32 arrays, ``x·w − y`` and ``2·x``. NumPy can need a third array,
    for instance with Debian's Python 3.14.
    """
    rows = 1_000_000
    descent = open_backend("numpy").place(generate(rows), 0.001)
    tracemalloc.start()
    descent.run([0.0], 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / rows


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is Linux's")
def test_a_row_adds_its_temporaries_to_numpys_memory(tmp_path: Path) -> None:
    children = Children(1, 0.1, tmp_path, tmp_path / "logs", timeout=300)
    row = ("numpy/10000x1/float32",)
    info = only(children.run(Task("alone", "test_setup.py", row, cold=True)), "more_rows").info
    assert info["added_bytes"] / info["more_rows"] == pytest.approx(temporaries(), abs=0.5)
    among_others = children.run(Task("among others", "test_setup.py", row))
    assert "more_rows" not in {m.kind for m in among_others.measurements}


@pytest.mark.parametrize("backend", ["clocked", "clocked:device"])
def test_a_step_is_what_the_work_took(installed: Path, backend: str) -> None:
    """Compare measured times with the times that the backends noted.

    One backend works in another thread. Setup must not be contained in any round.
    """
    outcome, notes = child(installed, "test_step.py", backend)
    assert outcome.failures == {}
    measured = only(outcome, "step")
    runs = [note for note in notes if note["kind"] == "run"][-len(measured.seconds) :]
    assert {run["steps"] for run in runs} == {measured.steps}
    ratios = [a / run["seconds"] for a, run in zip(measured.seconds, runs, strict=True)]
    assert min(ratios) >= 1  # all work is in the measured time
    # On a busy machine, another program may prolong some rounds, but not all.
    assert min(ratios) <= 1 + CLOSE


def test_who_does_not_wait_is_no_result(installed: Path) -> None:
    outcome, _ = child(installed, "test_step.py", "clocked:hasty")
    assert outcome.measurements == ()
    assert "w[0] = 0 but the reference is" in outcome.failures[f"clocked:hasty{SIZE}"]


def test_who_does_not_wait_breaks_the_contract(installed: Path) -> None:
    check_iterates("clocked:device", "float64", 2)
    with pytest.raises(AssertionError):
        check_iterates("clocked:hasty", "float64", 2)


# lies


@pytest.mark.parametrize(
    ("suite", "liars"),
    [
        ("test_step.py", ["lying:skipping", "lying:cached"]),
        ("test_setup.py", ["lying:shared"]),
    ],
)
def test_a_liar_is_found(installed: Path, suite: str, liars: list[str]) -> None:
    """Check that every made-up backend with a wrong w is found."""
    outcome, _ = child(installed, suite, "lying", *liars)
    assert outcome.failures.keys() == {f"{liar}{SIZE}" for liar in liars}
    for why in outcome.failures.values():
        assert "but the reference is" in why
    assert f"lying{SIZE}" in {m.row for m in outcome.measurements}


def test_a_result_from_before_the_start_was_known_breaks_the_contract(installed: Path) -> None:
    check_iterates("lying", "float64", 2)
    with pytest.raises(AssertionError):
        check_iterates("lying:early", "float64", 2)


@pytest.mark.parametrize("steps", [1, 1000, 10**6])
@pytest.mark.parametrize("rows", [1, 2, 1000])
def test_at_the_slow_rate_every_step_shows(rows: int, steps: int) -> None:
    problem = generate(rows, 2)
    rate = slow_rate(problem, steps)
    assert 0 < rate <= LEARNING_RATE
    start = [0.5, -1.0]
    before, after = (problem.reference.iterate(k, rate, start) for k in (steps - 1, steps))
    moved = abs(after - before).max()
    assert moved > 0.01 * abs(after - start).max() / steps
    assert not math.isclose(moved, 0.0)
