"""Simulate machines with known costs, so that a pick can be tested without measuring."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.names import Name
from backends.problem import step_bytes
from bench.measure.plan import Task
from bench.measure.read_curve import ROW_BYTES, TASK, sizes
from bench.pick.doubt import PAUSE_S
from bench.pick.expense import SETUP, STEPS_A_CASE
from bench.results.case import READ, Case
from bench.results.record import Measurement, Outcome

COPYING = 0.1
"""Time to copy data from shared memory ÷ time to generate the data."""

PAID = 0.8
"""Smallest random factor for the setup time in a process that has already set up another
backend. The factor 0.8 means 20 % less time than in a new process."""

CACHED_COMPILERS = ("numba", "torch")
"""Libraries that store compiled code on disk and use it in later processes."""


@dataclass(frozen=True)
class Costs:
    """The costs of a backend on a simulated machine, without random noise.

    Attributes
    ----------
    import_s, opening_s, compile_s : float
        Seconds to import the library, to open the device, and to compile.
    latency_s : float
        Seconds that a step takes in addition to its reads and arithmetic.
    arithmetic_s : float
        Seconds of arithmetic per byte, in addition to the time to read the byte.
    reads : float
        How often a step reads its data; 0 for `gram`, whose steps read no rows.
    placing : float
        Throughput in bytes/s at which the data are copied into the backend's layout.
    bytes_per_s : float
        Memory throughput of the GPU in bytes/s; 0 if the backend reads the host's memory.
    copied_bytes : float
        Data of at most this size in bytes are copied. Larger data are used without a copy.
    """

    import_s: float
    opening_s: float
    compile_s: float
    latency_s: float
    arithmetic_s: float
    reads: float
    placing: float
    bytes_per_s: float = 0.0
    copied_bytes: float = math.inf


@dataclass
class MadeUp:
    """A simulated machine with a clock; it keeps a list of the tasks that it ran.

    Attributes
    ----------
    costs : mapping
        The keys are backends, and the values are their costs.
    cache_bytes, reported_bytes : int
        Usable size of the last-level cache, and the size that the system reports.
    memory_rate, cache_rate : float
        Throughput in bytes/s if all cores read from memory, and if all read from the cache.
    slow : float
        The memory alternates between a fast and a slow state. `slow` is the time of a read in
        the slow state ÷ the time of the same read in the fast state.
    dwell_s : float
        Mean duration of a state, in seconds.
    noise, setup_noise : float
        Standard deviation of the logarithm of step times and of setup times.
    pauses : float
        Probability that a part of the setup includes a pause of at most `PAUSE_S` seconds.
    drift : float
        Standard deviation of the logarithm of `slowness`, a random factor for all times.
    start_s : float
        Seconds to start a child process.
    making : float
        Throughput in bytes/s at which a child process generates its data.
    now : float
        Simulated time in seconds.
    """

    costs: dict[str, Costs]
    cache_bytes: int = 32 << 20
    reported_bytes: int = 32 << 20
    memory_rate: float = 20e9
    cache_rate: float = 80e9
    slow: float = 1.0
    dwell_s: float = 30.0
    noise: float = 0.0
    setup_noise: float = 0.0
    pauses: float = 0.0
    drift: float = 0.0
    start_s: float = 0.7
    making: float = 4e8
    seed: int = 0
    memory_bytes: int = 64 * 10**9
    now: float = 0.0
    tasks: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.interruptions = np.random.default_rng([self.seed, 1])
        self.warm: set[str] = set()
        self.made: set[tuple[int, int, str]] = set()
        self.slowness = 1.0
        self.turns = np.cumsum(self.rng.exponential(self.dwell_s, 2000))

    @property
    def machine(self) -> dict[str, Any]:
        """Description of the simulated machine, in the format of `Record.machine`."""
        return {
            "cpu": "made up",
            "cpus": 4,
            "memory_bytes": self.memory_bytes,
            "caches": {"L3": self.reported_bytes},
            "os": "none",
            "python": "3",
            "gpus": [],
            "versions": {},
            "threads": 4,
        }

    # -- times without random noise -------------------------------------------

    @property
    def usual(self) -> float:
        """Mean factor for read times: the mean of 1 (fast memory) and `slow` (slow memory)."""
        return (1 + self.slow) / 2

    def read_s(self, nbytes: float, state: float) -> float:
        """Return the seconds to read `nbytes` bytes.

        `state` is 1 for the memory's fast state and `slow` for its slow state. The part of the
        data that fits into the cache is read from the cache.
        """
        cached = min(1.0, self.cache_bytes / nbytes)
        return nbytes * (cached / self.cache_rate + (1 - cached) * state / self.memory_rate)

    def step_s(self, case: Case, state: float) -> float:
        """Return the seconds of a step, computed from the costs; see `read_s` for `state`."""
        of = self.costs[case.backend]
        nbytes = step_bytes(*case.size)
        if not of.reads:
            return of.latency_s
        reading = nbytes / of.bytes_per_s if of.bytes_per_s else self.read_s(nbytes, state)
        return of.latency_s + nbytes * of.arithmetic_s + of.reads * reading

    def place_s(self, case: Case) -> float:
        """Return the seconds to open the device and to copy the data, without random noise."""
        of = self.costs[case.backend]
        return of.opening_s + self.copy_s(case)

    def copy_s(self, case: Case) -> float:
        """Return the seconds to copy the data; 0 if the backend uses them without a copy."""
        of, nbytes = self.costs[case.backend], step_bytes(*case.size)
        return nbytes / of.placing if nbytes <= of.copied_bytes else 0.0

    def total_s(self, case: Case, iterations: int) -> float:
        """Return the seconds of a descent with its setup, computed without random noise."""
        of = self.costs[case.backend]
        steps = (iterations + 1) * self.step_s(case, self.usual)
        return of.import_s + self.place_s(case) + of.compile_s + steps

    def one_total_s(self, case: Case, iterations: int, rng: np.random.Generator) -> float:
        """Return the sum of setup and step times in one process, with random errors."""
        of = self.costs[case.backend]

        def setup(value: float) -> float:
            return float(value * np.exp(self.setup_noise * rng.standard_normal()))

        step = self.step_s(case, self.usual) * np.exp(self.noise * rng.standard_normal())
        first = setup(of.compile_s + step)
        setups = setup(of.import_s) + setup(self.place_s(case)) + first
        drifted = np.exp(self.drift * rng.standard_normal())
        return float(drifted * (setups + iterations * step))

    # -- measuring ------------------------------------------------------------

    def clock(self) -> float:
        """Return the simulated time in seconds."""
        return self.now

    def drift_on(self) -> None:
        """Choose a new random `slowness`; this factor multiplies the times of all backends."""
        self.slowness = self.noisy(1.0, self.drift)

    def state(self) -> float:
        """Return the factor for read times: 1 while memory is fast, `slow` while it is slow."""
        return self.slow if int(np.searchsorted(self.turns, self.now)) % 2 else 1.0

    def noisy(self, value: float, spread: float) -> float:
        """Return `value` × a random factor whose logarithm has the deviation `spread`."""
        return float(value * np.exp(spread * self.rng.standard_normal()))

    def drifted(self, value: float, spread: float) -> float:
        """Return `value` × `slowness` × the random factor of `noisy`."""
        return self.noisy(self.slowness * value, spread)

    def paused(self, value: float) -> float:
        """Return `value` × a random factor, sometimes plus a pause; all in seconds."""
        paused, seconds = self.interruptions.random(2)
        pause = PAUSE_S * float(seconds) if paused < self.pauses else 0.0
        return self.drifted(value, self.setup_noise) + pause

    def read_curve(self) -> dict[str, Outcome]:
        """Simulate the measurement of the read curve (read time at several sizes)."""
        found = []
        for size in sizes(self.reported_bytes, self.memory_bytes):
            seconds = min(
                self.noisy(self.read_s(size, self.state()), self.noise / 2) for _ in range(3)
            )
            self.now += 3 * seconds + size / 4e9
            row = str(Case(READ, size // ROW_BYTES, 1, "float32"))
            info = {"bytes": size, "threads": 4}
            found.append(Measurement(READ, row, (seconds,), 1, info))
        return {TASK: Outcome(tuple(found))}

    def run(self, task: Task, seconds: float) -> Outcome:
        """Simulate a child process that measures the cases of a task; return the measurements.

        If the process would take more than `seconds` of simulated time, it fails.
        """
        self.tasks.append(task)
        began = self.now
        self.now += self.noisy(self.start_s, 0.1)
        cases = [Case.parse(text) for text in task.cases]
        self.now += self.costs[cases[0].backend].import_s
        for size in {case.size for case in cases}:  # data are generated once and then copied
            again = COPYING if size in self.made else 1.0
            self.now += again * step_bytes(*size) / self.making
            self.made.add(size)
        found: list[Measurement] = []
        self.alone, self.imported = True, False
        for case in cases:
            if case.backend == READ:
                found.append(self._read(case))
            elif task.suite == SETUP:
                found += self._setup(case)
            else:
                found.append(self._steps(case))
        if self.now >= began + seconds:
            self.now = began + seconds * (1 + 1e-9)
            return Outcome(failures={task.cases[0]: "took too long"})
        return Outcome(tuple(found))

    def _read(self, case: Case) -> Measurement:
        nbytes = case.bytes_per_step
        seconds = self.noisy(self.read_s(nbytes, self.state()), self.noise / 3)
        self.now += 5 * seconds
        return Measurement(READ, str(case), (seconds,), 1, {"bytes": nbytes})

    def _setup(self, case: Case) -> list[Measurement]:
        of, row, nbytes = self.costs[case.backend], str(case), case.bytes_per_step
        step = self.step_s(case, self.state())
        first = self.paused(of.compile_s + step)
        place = self.paused(self.place_s(case))
        self.now += first + place + 0.2
        self.warm.add(case.backend)
        peak = {"peak_bytes": int(6e7 + 2 * nbytes)}
        rows = 10**6
        more = {"added_bytes": rows * case.bytes_per_step // case.rows, "more_rows": rows}
        imported = self.drifted(of.import_s, self.setup_noise)
        found = [Measurement("import", row, (imported,))] if of.import_s else []
        return [
            *found,
            Measurement("place", row, (place,)),
            Measurement("first_call", row, (first,), 1, peak),
            Measurement("more_rows", row, (self.slowness * step,), 1, more),
        ]

    def _steps(self, case: Case) -> Measurement:
        of, row = self.costs[case.backend], str(case)
        state = self.state()
        cached = Name.parse(case.backend).library in CACHED_COMPILERS
        compiling = of.compile_s * (0.1 if cached and case.backend in self.warm else 1.0)
        set_up = self._first(case, compiling, state)
        step = self.drifted(self.step_s(case, state), self.noise)
        place = self.noisy(self.copy_s(case) + 1e-5, self.setup_noise)
        self.now += compiling + max(0.1, STEPS_A_CASE * step) + place + 0.05
        self.warm.add(case.backend)
        info: dict[str, Any] = {"place_again_s": place, "set_up_s": set_up}
        if case.reads_memory and case.bytes_per_step >= 1 << 28:
            read = self.noisy(self.read_s(case.bytes_per_step, state), self.noise / 3)
            info["read_bytes_per_s"] = [case.bytes_per_step / read] * 3
        samples = tuple(self.noisy(step, 0.01) for _ in range(5))
        return Measurement("step", row, samples, 1, info)

    def _first(self, case: Case, compiling: float, state: float) -> dict[str, float]:
        """Return the seconds of each part of the setup: {"place": 0.1, "first_call": 0.5}."""
        of = self.costs[case.backend]
        paid = 1.0 if self.alone else self.rng.uniform(PAID, 1.0)
        self.alone = False
        stages = {
            "place": paid * self.place_s(case),
            "first_call": paid * compiling + self.step_s(case, state),
        }
        if of.import_s and not self.imported:
            stages["import"] = of.import_s
            self.imported = True
        return {name: self.paused(value) for name, value in stages.items()}


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a random number from `low` to `high` with a uniformly distributed logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))
