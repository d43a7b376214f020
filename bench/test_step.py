"""Time the steps of a descent, without placing the data and compiling.

Cases are measured in the order in which the command line lists them.
"""

from __future__ import annotations

import importlib
import sys
import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends.names import Name, libraries
from backends.problem import Problem
from backends.rows.source import Source
from backends.rows.streamed import SourceBackend
from bench.host.memory import settle
from bench.host.waiting import Waiting, warm_up
from bench.measure.bandwidth import IN_PLACE_BYTES, Reader
from bench.measure.device import DEVICE_BYTES, DeviceReader
from bench.measure.native import Kernel, NativeError
from bench.measure.opened import data_of, open_case, synthetic
from bench.measure.rounds import (
    FEWEST_ROUNDS,
    ROUND_SECONDS,
    TIMER,
    Round,
    Sampling,
    time_steps,
)
from bench.measure.verify import LEARNING_RATE, slow_rate, start_scale, usual_rate
from bench.results.case import Case

pytestmark = pytest.mark.benchmark(timer=TIMER)


def test_step(benchmark: BenchmarkFixture, case: Case, sampling: Sampling) -> None:
    """Set up a backend, and time its steps."""
    problem = data_of(case)
    backend, size, benchmark.extra_info["set_up_s"] = set_up(case, problem)
    settle()  # placing then uses new memory, as in a new process
    began = time.perf_counter()
    descent = backend.place(problem, slow_rate(problem, size.steps))
    benchmark.extra_info["place_again_s"] = time.perf_counter() - began  # for the cost model
    if choice := getattr(descent, "choice", None):
        benchmark.extra_info["choice"] = choice
    time_steps(benchmark, case, descent.run, size, sampling, beside(problem, sampling, case))


def set_up(
    case: Case, problem: Problem | Source
) -> tuple[SourceBackend, Round, dict[str, float]]:
    """Set up a backend; return the backend, a round, and the seconds of each part.

    A round is the number of steps that are timed together. The parts are ``import``, ``place``
    and ``first_call``. There is no ``import`` if the library was imported before.
    """
    library = libraries()[Name.parse(case.backend).library].imports
    rate, start = usual_rate(problem), start_scale(problem) * np.ones(case.features)
    seconds = {}
    began = time.perf_counter()
    if library not in sys.modules:
        importlib.import_module(library)
        seconds["import"] = time.perf_counter() - began
        began = time.perf_counter()
    backend = open_case(case)
    descent = backend.place(problem, rate)
    seconds["place"] = time.perf_counter() - began
    began = time.perf_counter()
    descent.run(start, 1)
    seconds["first_call"] = time.perf_counter() - began
    return backend, Round.of(descent.run, problem), seconds


def test_native(benchmark: BenchmarkFixture, native: Case, sampling: Sampling) -> None:
    """Time the steps of a descent in C."""
    problem = synthetic(native)
    try:
        size = Round.of(Kernel(problem, LEARNING_RATE, sampling.threads).run, problem)
        kernel = Kernel(problem, slow_rate(problem, size.steps), sampling.threads)
    except NativeError as error:
        pytest.skip(str(error))
    time_steps(benchmark, native, kernel.run, size, sampling, beside(problem, sampling, native))


def beside(
    problem: Problem | Source, sampling: Sampling, case: Case
) -> Reader | DeviceReader | None:
    """Return a reader of the data, so that reads are timed alternately with the steps.

    A step takes at least as long as a read of its data. A disturbance of the machine affects
    both steps and reads. For a GPU, the reader reads the GPU's memory. The result is None for
    small or streamed data, and if another process measures alternately with this process.
    """
    if not (isinstance(problem, Problem) and sampling.alternation.alone):
        return None
    nbytes = problem.bytes_per_step
    if case.device != "cpu":
        far = nbytes >= DEVICE_BYTES
        return DeviceReader.of(case.library, case.device, nbytes) if far else None
    return Reader.of(problem, sampling.threads) if nbytes >= IN_PLACE_BYTES else None


def test_read(benchmark: BenchmarkFixture, baseline: Case, sampling: Sampling) -> None:
    """Measure how long all threads take to read the data of a step without computing."""
    data = data_of(baseline)
    if isinstance(data, Problem):
        reader = Reader.of(data, sampling.threads)
    else:  # the rows of a file are not in this process's memory
        reader = Reader.of_bytes(baseline.bytes_per_step, sampling.threads)
    warm_up(reader)
    counted = sampling.count(reader.passes)
    waiting = Waiting()
    benchmark.pedantic(reader, rounds=max(FEWEST_ROUNDS, int(sampling.seconds / ROUND_SECONDS)))
    benchmark.extra_info |= {
        "row": str(baseline),
        "kind": "read",
        **counted,
        "bytes": reader.nbytes,
        "read_by": reader.way,
        "waiting": waiting.share(),
    }
    reader.close()
