"""Hold the state of a pick at one moment: the models, and which backends are excluded.

`know` computes this state from the saved measurements, anew after every measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.doubt import extrapolated_s, paused_s
from bench.pick.draws import Range
from bench.pick.fitting import fit_named
from bench.pick.model import CostModel
from bench.pick.near import near_only
from bench.pick.peaks import CAUTION
from bench.pick.recommend import Request
from bench.pick.regime import Regime
from bench.pick.throughput import IN_MEMORY, MemoryThroughput
from bench.results.record import Record

SURE = 0.8
"""Lower bound for the next setup time: 80 % of the time that was measured before."""

FASTER_A_ROW = 0.7
"""Lower bound for the time per row beyond the largest measured size.

It is 70 % of the measured time per row, because equal work takes different times in different
processes.
"""

LONG_S = 1.5
"""A descent counts as long if it takes at least this many seconds, setup included.

For a long descent, one process measures setup and steps. For a short descent, a separate
process first measures only the setup, which takes most of the total time.
"""

ROOM = 1.2
"""Free memory that a measurement requires, as a multiple of its predicted peak memory.

A reserve of 20 % remains, because other processes can allocate memory at the same time.
"""

ALL_THREADS_BYTES = 3_000_000
"""Data size in bytes from which every library uses all its threads: 3 MB."""


@dataclass(frozen=True)
class Setting:
    """The request, the backends and the machine, for one run of ``pick``.

    Attributes
    ----------
    request : Request
    names : tuple of str
        Backends that run here, in the catalogue's order.
    machine : mapping
        The machine's description, from `bench.host.machine.Machine.as_dict`.
    code : str
        Version of the code that measures, from `bench.measure.version.code_version`.
    threads : int
    host_bytes : int
        Bytes of this host's memory that measurements are allowed to use.
    missing : mapping
        The keys are the backends that cannot run here. The values are the reasons.
    """

    request: Request
    names: tuple[str, ...]
    machine: Mapping[str, object]
    code: str
    threads: int
    host_bytes: int
    missing: Mapping[str, str]


@dataclass(frozen=True)
class Spent:
    """A finished task: its benchmark file (`suite`), its cases, and its duration in seconds."""

    suite: str
    cases: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Known:
    """The models, the memory throughput and the finished tasks of a pick so far.

    Attributes
    ----------
    setting : Setting
    budget : float
        Seconds for measuring in the whole pick.
    models : mapping
        The keys are the backends, the values their cost models. The model of an unmeasured
        backend has no observations.
    memory : MemoryThroughput
    has_curve : bool
        Whether the read curve (the read speed at each size) was measured. If not, the system's
        report of the cache size is used.
    at_least : mapping
        The keys are the backends whose setup was stopped at its time limit. The values are
        lower bounds of their setup times, in seconds.
    spent : tuple of Spent
        The tasks that were measured so far, in order.
    """

    setting: Setting
    budget: float
    models: Mapping[str, CostModel]
    memory: MemoryThroughput
    has_curve: bool
    at_least: Mapping[str, float]
    spent: tuple[Spent, ...] = ()

    @property
    def request(self) -> Request:
        """The request that the pick answers."""
        return self.setting.request

    @property
    def regime_bytes(self) -> int:
        """Smallest size, in bytes, of data that are read from memory instead of a cache."""
        return IN_MEMORY * self.memory.cache_bytes

    def total(self, model: CostModel) -> Range:
        """Return the predicted time of the descent with a backend, and its 90 % interval."""
        return self._totals[model.backend]

    @cached_property
    def _totals(self) -> dict[str, Range]:
        n, k = self.request.rows, self.request.iterations
        return {
            name: model.at_usual_throughput.total(n, k)
            for name, model in self.models.items()
            if model.complete
        }

    def rival(self, backend: str) -> CostModel | None:
        """Return the model of the backend with which the named backend is compared.

        The result is the model whose total time has the lowest upper bound. A `gram` technique
        works only for squared error, so other techniques are not compared with it. The result
        is None if no backend was measured completely.
        """
        rivals = [m for m in self.models.values() if m.complete]
        if not is_gram(backend):
            rivals = [m for m in rivals if not is_gram(m.backend)]
        return min(rivals, key=lambda m: self.total(m).high, default=None)

    @cached_property
    def excluded(self) -> dict[str, str]:
        """The backends that cannot be the fastest (keys), and the reasons (values)."""
        found = {}
        for name, model in self.models.items():
            rival = self.rival(name)
            if rival is None or model.observations.failure:
                continue
            if why := self._why_not(model, rival):
                found[name] = why
        return found

    def _why_not(self, model: CostModel, rival: CostModel) -> str:
        """Return why a backend is certainly slower than `rival`, or "" if it can be faster."""
        most = self.total(rival).high
        if model.complete:
            low = self.total(model).low - self.paused_s(model) - self.extrapolated_s(model)
            least = self.least_setup_s(model) + self._least_steps_s(model)
            slower = max(low, least) > most
            return f"certainly slower than {rival.backend}" if slower else ""
        library = Name.parse(model.backend).library
        longer = f"longer than the whole descent with {rival.backend}"
        if self.least_setup_s(model) > most:
            return f"the setup of {library} alone takes {longer}"
        if self.least_setup_s(model) + self._least_steps_s(model) > most:
            return f"its measured parts alone take {longer}"
        return ""

    def paused_s(self, model: CostModel) -> float:
        """Return an upper limit for the seconds that pauses of a process added to a setup time.

        The result is 0 for a long descent, because pauses hardly change its total time.
        """
        return 0.0 if self.is_long else paused_s(model, self.request.rows)

    def extrapolated_s(self, model: CostModel) -> float:
        """Return the predicted seconds to place the rows beyond the largest measured size.

        Placing prepares the rows for a backend. The result is 0 for a long descent, because
        placing hardly changes its total time.
        """
        return 0.0 if self.is_long else extrapolated_s(model, self.request.rows)

    @cached_property
    def is_long(self) -> bool:
        """Whether the descent takes `LONG_S` seconds or more with the fastest measured backend.

        The `gram` techniques do not count. False if only `gram` techniques were measured.
        """
        loops = (total.median for name, total in self._totals.items() if not is_gram(name))
        return min(loops, default=0.0) >= LONG_S

    def least_setup_s(self, model: CostModel) -> float:
        """Return a lower bound of the setup time in seconds, from the parts measured so far."""
        seen = model.observations
        parts = [min(seen.imports, default=0.0)]
        parts += [min((s.value for s in p), default=0.0) for p in (seen.place, seen.first_call)]
        measured = max(0.0, sum(parts) - self.paused_s(model))
        return SURE * max(measured, self.at_least.get(model.backend, 0.0))

    def _least_steps_s(self, model: CostModel) -> float:
        """Return a lower bound of the time in seconds of all steps of the request's descent.

        The result is 0 if no step was measured. Beyond the measured sizes, a row is assumed to
        take at least 70 % (`FASTER_A_ROW`) of the measured time per row.
        """
        if not model.observations.step:
            return 0.0
        n, largest = self.request.rows, model.largest
        step = model.at_usual_throughput.step(n).low
        if n > largest and self.nbytes(largest) >= ALL_THREADS_BYTES:
            a_row = (model.step_s(2 * largest) - model.step_s(largest)) / largest
            step = max(step, FASTER_A_ROW * a_row * n)
        return step * self.request.iterations

    @cached_property
    def live(self) -> list[str]:
        """Backends that did not fail and can still be the fastest, in the catalogue's order."""
        return [
            name
            for name, model in self.models.items()
            if name not in self.excluded and not model.observations.failure
        ]

    def groups(self) -> Iterable[list[CostModel]]:
        """Yield the models to compare: first with the `gram` techniques, then without them.

        Incompletely measured and excluded backends are left out. Only the second list is
        yielded if there are no `gram` techniques, or with ``--loop-only``.
        """
        complete = [self.models[name] for name in self.live if self.models[name].complete]
        loops = [m for m in complete if not is_gram(m.backend)]
        grams = len(loops) < len(complete) and not self.request.loop_only
        yield from ([complete, loops] if grams else [loops or complete])

    def nbytes(self, rows: int) -> int:
        """Return the size of `rows` rows in bytes."""
        return step_bytes(rows, self.request.features, self.request.dtype)

    def memory_of(self, device: str) -> int:
        """Return how many bytes of a device's memory a measurement is allowed to use."""
        memory = self.request.memory_bytes
        if device in memory.keys() - {"cpu"}:
            return memory[device]
        return min(memory["cpu"], self.setting.host_bytes)

    def may_exceed_memory(self, backend: str) -> bool:
        """Return whether the request's data can exceed the memory of the backend's device."""
        memory = self.request.memory_bytes
        most = memory.get(Name.parse(backend).device, memory["cpu"])
        return CAUTION * self.request.data_bytes > most

    def fits(self, backend: str, rows: int) -> bool:
        """Return whether the device has enough memory to measure a backend with `rows` rows.

        If no peak memory was measured, the backend is assumed to need 6 times its data.
        """
        needs = self.models[backend].peak_bytes(rows)
        if needs is None:
            needs = CAUTION * self.nbytes(rows)
        return ROOM * needs <= self.memory_of(Name.parse(backend).device)

    def tries(self, suite: str, case: str) -> int:
        """Return how many child processes of this pick measured the case, or began to."""
        return sum(suite == s.suite and case in s.cases for s in self.spent)

    def unmeasured(self) -> dict[str, str]:
        """Return the backends without a predicted total (keys) and the reasons (values)."""
        reasons = dict(self.setting.missing)
        for name, model in self.models.items():
            if not model.complete:
                failed = model.observations.failure
                reasons[name] = (
                    (f"failed: {failed}" if failed else "")
                    or self.excluded.get(name)
                    or "the budget ended before it was measured"
                )
        return reasons


def is_gram(backend: str) -> bool:
    """Return whether a backend works only for squared error, as the `gram` techniques do."""
    return Name.parse(backend).least_squares_only


def know(
    setting: Setting,
    records: Sequence[Record],
    budget: float = math.inf,
    spent: Sequence[Spent] = (),
) -> Known:
    """Fit all models to the measurements in `records`; return the new state."""
    request = setting.request
    shape = request.features, request.dtype
    regime = Regime.of(records, setting.machine)
    models, memory = fit_named(setting.names, records, shape, regime)
    models = {name: near_only(model, request.rows) for name, model in models.items()}
    waited: dict[str, float] = {}
    for record in records:
        pick = record.request.get("pick", {})
        if (pick.get("features"), pick.get("dtype")) == shape:
            for name, seconds in pick.get("at_least", {}).items():
                waited[name] = max(seconds, waited.get(name, 0.0))
    return Known(setting, budget, models, memory, bool(regime.curve), waited, tuple(spent))
