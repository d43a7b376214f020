"""Measure what decides a request, within a budget of seconds.

The plainest library comes first, then cheap sizes of all. After every child the
models are fitted anew, and a backend that cannot win any more, however well it
did at larger sizes, is dropped (successive elimination); so is one whose set-up
takes longer than a rival's whole descent, as soon as it has. What time is left
goes to the sizes next to the target and to the backends that are still in the race.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backends.names import Name
from backends.problem import step_bytes
from bench.host.machine import last_cache_bytes
from bench.measure.plan import Task
from bench.measure.version import revision
from bench.measure.worker import Children
from bench.pick.model import CAUTION, CostModel, Observations, Range, Sample, machine_spreads
from bench.pick.observations import import_seconds, memory_pace, steady_observations
from bench.pick.recommend import Request, choose, plainness
from bench.pick.throughput import IN_MEMORY
from bench.results.case import READ, SMALLEST_BYTES, Case
from bench.results.record import Outcome, Record

SCOUT_BYTES = 8_000_000
"""Set-up is looked at first with so many, or the rows asked for where they are fewer: threads
are started by then, and compilers compile what large data need."""

ALIKE = 1.0
"""Decades within which one size's set-up stands for another's until that is measured."""

SECONDS = 0.1
"""Sampling time of a row."""

MEMORY_REGIME_BYTES = 200_000_000
"""The ladder ends with the first size that is larger, and that no cache holds: straight on."""

FAR = 3
"""Where the target is so many times beyond that end, contenders climb one rung more.

At the end a seventh of the data may still come from a cache of 32 MB.
"""

WIDEST = 0.4
"""Where every contender's total is known to ±40 %, the answer comes from the store."""

BRIEF = 0.3
"""Share of the total above which the set-up must be measured near the target, too."""

DECIDED = 0.15
"""With one contender left and its total known to ±15 %, measuring ends before the budget."""

PASSES = 5
"""Processes in which a contender's step is measured at the sizes next to the target."""

SLACK = 4
"""Times the shortest child: what a set-up's child may need beside the set-up itself."""

SURE = 0.8
"""Share of a set-up that was seen once, below which it will not be the next time."""

BYTES_A_SECOND = 1.5e8
"""At which a child makes its data and the reference; it only schedules."""


@dataclass
class Explorer:
    """Measures for one request.

    Parameters
    ----------
    request : Request
    names : sequence of str
        Backends that run here.
    threads : int
    machine : dict
    code : str
        `bench.measure.version.code_version`.
    store : Path
    known : sequence of Record
        What was measured here before.
    budget : float
        Seconds.
    report : callable
        Is told what comes next, before each child.
    may_use : int
        Bytes of the host that measuring may take; the request's memory may be another
        machine's.
    asked : dict
        How the names were chosen; it stands in the record.
    missing : dict
        Backends that cannot run here, and why; it stands there, too.
    claim : callable
        Is called before anything is measured for the store.
    """

    request: Request
    names: Sequence[str]
    threads: int
    machine: Mapping[str, Any]
    code: str
    store: Path
    known: Sequence[Record]
    budget: float
    report: Callable[[str, float], None] = lambda _what, _share: None
    may_use: int = sys.maxsize
    asked: dict[str, list[str]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    claim: Callable[[], None] = lambda: None
    dropped: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        request = {
            "rows": [],
            "pick": {
                "rows": self.request.rows,
                "features": self.request.features,
                "iterations": self.request.iterations,
                "dtype": self.request.dtype,
                "budget": self.budget,
                "loop_only": self.request.loop_only,
                "names": list(self.names),
                "missing": dict(self.missing),
                **self.asked,
            },
        }
        self.record = Record(created, request, dict(self.machine), self.code)
        self.path = self.store / f"pick-{created[:23].replace(':', '')}.json"
        self.began = time.monotonic()
        self.took: dict[str, float] = {}
        self.at_least: dict[str, float] = {}
        for record in self.known:
            self._recall(record.request.get("pick", {}))
        self.cache_bytes = last_cache_bytes(self.machine)
        self._fit()

    # -- what is known ------------------------------------------------------

    @property
    def records(self) -> list[Record]:
        """Earlier records and this one's."""
        return [*self.known, self.record]

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self.budget - (time.monotonic() - self.began)

    def _recall(self, pick: Mapping[str, Any]) -> None:
        """Take over how long an earlier pick waited for set-ups that it gave up."""
        asked = self.request.features, self.request.dtype
        if (pick.get("features"), pick.get("dtype")) == asked:
            for name, seconds in pick.get("at_least", {}).items():
                self.at_least[name] = max(seconds, self.at_least.get(name, 0.0))

    def _fit(self) -> None:
        """Fit all models to what is there now."""
        shape = self.request.features, self.request.dtype
        self.pace = memory_pace(self.records, self.cache_bytes)
        of = steady_observations(self.records, *shape, self.pace)
        imports = import_seconds(self.records)
        spreads = machine_spreads(of.values())
        self.models = {}
        for name in self.names:
            seen = of.get(name, Observations())
            if not seen.imports and (known := imports.get(Name.parse(name).library)):
                seen = replace(seen, imports=tuple(known))
            self.models[name] = CostModel(
                *(name, seen, *shape, self.cache_bytes, spreads, self.pace.states)
            )
        self._drop()

    def _drop(self) -> None:
        """Name those that cannot win any more."""
        self.dropped = {}
        for model in self.models.values():
            best = self._best_rival(model)
            if best is None or model.observations.failure:
                continue
            most = self._total(best).high
            if model.complete:
                if self._total(model).low > most:
                    self.dropped[model.backend] = f"slower than {best.backend} at any rate"
            elif self._least_s(model) > most:
                library = Name.parse(model.backend).library
                self.dropped[model.backend] = (
                    f"setting {library} up alone takes longer than all with {best.backend}"
                )

    def _best_rival(self, model: CostModel) -> CostModel | None:
        """Return who is surest to be fast, of those that a backend races with; or nobody."""
        rivals = [m for m in self.models.values() if m.complete]
        if not _for_least_squares(model):
            # Someone's own loss may not be least squares: the loops race among themselves.
            rivals = [m for m in rivals if not _for_least_squares(m)]
        return min(rivals, key=lambda m: self._total(m).high, default=None)

    def _total(self, model: CostModel) -> Range:
        """Return the total; the memory's pace, whatever it is, will be the same for all."""
        return model.at_usual_pace.total(self.request.rows, self.request.iterations)

    def _least_s(self, model: CostModel) -> float:
        """Return what the total cannot be below, of a backend whose steps were not measured."""
        seen = model.observations
        parts = [min(seen.imports, default=0.0)]
        parts += [min((s.value for s in p), default=0.0) for p in (seen.place, seen.first_call)]
        return SURE * max(sum(parts), self.at_least.get(model.backend, 0.0))

    @property
    def live(self) -> list[str]:
        """Backends that may win, in the catalogue's order; failed ones may not."""
        return [
            name
            for name, model in self.models.items()
            if name not in self.dropped and not model.observations.failure
        ]

    @property
    def settled(self) -> bool:
        """Whether what is known answers the request, so that nothing need be measured."""
        n, k = self.request.rows, self.request.iterations
        models = [self.models[name] for name in self.live]
        if not models or not all(m.complete for m in models):
            return False
        if self._clear(models):
            return True
        near = _nearest(self.sizes(), n)
        for m in models:
            brief = m.place_s(n) + m.first_call_s(n) > BRIEF * m.total_s(n, k)
            if brief and not m.setup_known(n) and not _measured(m, near):
                return False
        known = all(self._total(m).spread <= WIDEST for m in models)
        return known or self._beyond(models)

    def _clear(self, models: Sequence[CostModel]) -> bool:
        """Whether one loop, and one backend of all, wins however wide the intervals are.

        Their set-ups were looked at with data like those asked for.
        """
        n, k = self.request.rows, self.request.iterations
        scout = self._scout(self.sizes())
        known = all(_alike(m.observations.place, scout) for m in models)
        loops = [m for m in models if not _for_least_squares(m)]
        return known and not any(choose(some, n, k)[1] for some in (models, loops))

    @property
    def decided(self) -> bool:
        """Whether at most one loop and one gram are left, and known well."""
        groups: dict[bool, list[CostModel]] = {True: [], False: []}
        for model in (self.models[name] for name in self.live):
            groups[_for_least_squares(model)].append(model)
        return all(
            len(models) <= 1
            and all(m.complete and self._total(m).spread <= DECIDED for m in models)
            for models in groups.values()
        )

    def _beyond(self, models: list[CostModel]) -> bool:
        """Whether larger sizes cannot be measured here, so that it will not get better."""
        largest = self.sizes()[-1]
        return all(m.largest >= largest for m in models)

    # -- what to measure ------------------------------------------------------

    def sizes(self) -> list[int]:
        """Return the ladder: half a decade a rung, until data are read from memory.

        A target far beyond has one rung more. The target is a rung, too, where
        its data are not too large for the memory and the budget.
        """
        features, dtype = self.request.features, self.request.dtype

        def size(rows: int) -> int:
            return step_bytes(rows, features, dtype)

        most = min(self._memory("cpu") / CAUTION, self.budget * BYTES_A_SECOND / 6)
        far = size(self.request.rows) >= FAR * self._regime
        rungs, rows, k = [], 100, 4
        while size(rows) <= most:
            rungs.append(rows)
            if size(rows) >= (FAR if far else 1) * self._regime:
                break
            k += 1
            rows = (10 if k % 2 == 0 else 30) * 10 ** (k // 2 - 1)
        if size(self.request.rows) <= most:
            rungs.append(self.request.rows)
        return sorted(set(rungs)) or [self.request.rows]

    def run(self) -> Record:
        """Measure until the request is decided or the budget is spent."""
        if self.settled:
            return self.record
        self.claim()
        self.record = replace(self.record, revision=revision())
        with tempfile.TemporaryDirectory(prefix="descentbench-") as scratch:
            for task in self._tasks():
                if self.left <= 0:
                    break
                left = max(2.0, self.left + 0.1 * self.budget)
                enough = self._enough(task)
                children = Children(
                    *(self.threads, SECONDS, Path(scratch), self.path.with_suffix(""), left),
                    budget=min(left, enough),
                )
                self.report(task.name, 1 - self.left / self.budget)
                began = time.monotonic()
                outcome = children.watched(task)
                taken = time.monotonic() - began
                if taken >= enough:
                    self._give_up(task, enough)
                    continue
                if taken >= children.budget:  # the budget's fault, not the backend's
                    for row in task.cases:
                        self.late[Case.parse(row).backend] = (
                            f"the budget ended {taken:.0f} s into measuring it"
                        )
                    break
                self._learn(task, outcome, taken)
        if self.record.tasks:
            self.record = replace(self.record, complete=True)
            self.record.save(self.path)
        return self.record

    def _enough(self, task: Task) -> float:
        """Return after how many seconds a first set-up alone has lost to the best rival."""
        model = self.models[Case.parse(task.cases[0]).backend]
        rival = self._best_rival(model)
        if not task.cold or model.complete or rival is None or not self.took:
            return math.inf
        most = self._total(rival).high
        return most / SURE + SLACK * min(self.took.values())

    def _give_up(self, task: Task, seconds: float) -> None:
        """Note how long a set-up lasts at the least; who asks for more steps waits longer."""
        backend = Case.parse(task.cases[0]).backend
        self.at_least[backend] = seconds - SLACK * min(self.took.values())
        pick = self.record.request["pick"] | {"at_least": self.at_least}
        self.record = replace(self.record, request=self.record.request | {"pick": pick})
        self.record.save(self.path)
        self._fit()

    def _learn(self, task: Task, outcome: Outcome, taken: float) -> None:
        rows = [r for r in task.cases if not r.startswith(READ + "/")]
        asked = [*self.record.request["rows"]]
        asked += [r for r in rows if r not in asked]
        self.record = replace(self.record, request=self.record.request | {"rows": asked})
        self.record = self.record.with_outcome(task.name, outcome)
        self.record.save(self.path)
        for row in rows:
            self.took[f"{task.suite} {Name.parse(Case.parse(row).backend).library}"] = taken
        self._fit()

    def _tasks(self) -> Iterator[Task]:
        """Yield one task after the other, each chosen by what is known by then."""
        sizes = self.sizes()
        scout = self._scout(sizes)
        small = [n for n in sizes if self._bytes(n) < self.cache_bytes / 4]
        large = [n for n in sizes if self._bytes(n) >= self.cache_bytes / 4]
        end = [n for n in sizes if self._bytes(n) < FAR * self._regime] or sizes
        for names in self._plainest_first():
            yield from self._setups(scout, "set-up", names)
            yield from self._steps(small[::2] or sizes[:1], "small sizes", names)
            # Beyond it go only those that have not been dropped by then.
            yield from self._steps(end[-1:], "a large size", names)
        near = _nearest(sizes, self.request.rows)
        yield from self._setups(near, "set-up at the size", again=True)
        yield from self._steps(large, "large sizes")
        yield from self._steps(small, "sizes between")
        for k in range(2, PASSES + 1):
            if self.decided:
                return
            close = sorted(sizes, key=lambda n: abs(math.log(n / self.request.rows)))[:2]
            yield from self._steps(sorted(close), f"pass {k}", passes=k)
            if k <= 3:
                yield from self._setups(near, f"set-up, pass {k}", again=True, passes=k)

    def _scout(self, sizes: Sequence[int]) -> int:
        """Return the rung whose set-up is looked at first."""
        cheap = [n for n in sizes if n <= self.request.rows and self._bytes(n) <= SCOUT_BYTES]
        return max(cheap, default=sizes[0])

    def _plainest_first(self) -> tuple[list[str], list[str]]:
        """Return the first library's backends, and the others.

        What the first take shows which others lose by their set-up alone, some
        of which lasts longer than all the rest.
        """
        first = Name.parse(self.names[0]).library
        mine = [name for name in self.names if Name.parse(name).library == first]
        return mine, [name for name in self.names if name not in mine]

    def _setups(
        self,
        rows: int,
        what: str,
        among: Sequence[str] | None = None,
        *,
        again: bool = False,
        passes: int = 1,
    ) -> Iterator[Task]:
        """Set every live backend up in a process of its own, the libraries in turn."""
        turn: dict[str, int] = {}
        order: list[tuple[int, int, str]] = []
        for name in sorted(self.names if among is None else among, key=plainness):
            library = Name.parse(name).library
            turn[library] = turn.get(library, 0) + 1
            order.append((turn[library], len(order), name))
        for _, _, name in sorted(order):
            if name not in self.live:
                continue
            seen = self.models[name].observations.place
            done = sum(s.rows == rows for s in seen) if again else _alike(seen, rows)
            if done >= passes or not self._fits(name, rows):
                continue
            if not self._room([name], [rows], "test_setup.py"):
                continue
            row = self._row(name, rows)
            yield Task(f"{what} {row}", "test_setup.py", (row,), cold=True)

    def _steps(
        self,
        sizes: Sequence[int],
        what: str,
        among: Sequence[str] | None = None,
        *,
        passes: int = 1,
    ) -> Iterator[Task]:
        """Measure steps of live backends that lack some of these sizes, a library a child.

        The most promising library comes first: time may not be left for the last.
        """
        promising = sorted(self.names if among is None else among, key=self._expected_s)
        for library in dict.fromkeys(Name.parse(name).library for name in promising):
            rows: list[str] = []
            for n in sizes:
                lack = [
                    name
                    for name in self.live
                    if Name.parse(name).library == library
                    and self.models[name].observations.place
                    and sum(s.rows == n for s in self.models[name].observations.step) < passes
                    and self._fits(name, n)
                ]
                if lack and self._room(lack, [n], "test_step.py"):
                    rows += [self._row(name, n) for name in lack]
                    if self._bytes(n) >= SMALLEST_BYTES:
                        rows.append(self._row(READ, n))
            if rows:
                yield Task(f"{what}, {library}", "test_step.py", tuple(rows))

    def _expected_s(self, name: str) -> float:
        """Return what a total seems to be; inf of the dropped, and where parts are unknown."""
        model = self.models[name]
        if not model.complete or name in self.dropped:
            return math.inf
        return model.total_s(self.request.rows, self.request.iterations)

    def _room(self, names: Sequence[str], sizes: Sequence[int], suite: str) -> bool:
        """Whether the budget seems to allow it; a guess from what like children took."""
        library = Name.parse(names[0]).library
        start = min(self.took.get(f"test_setup.py {library}", 1.0), 4.0)
        work = sum(self._bytes(n) / BYTES_A_SECOND for n in sizes)
        each = 0.0
        for name in names:
            model = self.models[name]
            for n in sizes:
                step = model.step_s(n) if model.observations.step else 0.0
                each += max(SECONDS, 10 * step) + 0.05
        return start + work + (each if suite == "test_step.py" else 0.0) <= self.left

    def _fits(self, name: str, rows: int) -> bool:
        """Whether a size may be tried; of what is not known, the worst is assumed."""
        needs = self.models[name].peak_bytes(rows)
        if needs is None:
            needs = CAUTION * self._bytes(rows)
        return 1.2 * needs <= self._memory(Name.parse(name).device)

    def _memory(self, device: str) -> int:
        """Return what may be used of a device's memory here; the host's where it has none."""
        memory = self.request.memory_bytes
        return memory[device] if device in memory.keys() - {"cpu"} else self._host()

    @property
    def _regime(self) -> int:
        """Bytes from which data are read from memory."""
        return max(MEMORY_REGIME_BYTES, IN_MEMORY * self.cache_bytes)

    def _host(self) -> int:
        return min(self.request.memory_bytes["cpu"], self.may_use)

    def _bytes(self, rows: int) -> int:
        return step_bytes(rows, self.request.features, self.request.dtype)

    def _row(self, name: str, rows: int) -> str:
        return str(Case(name, rows, self.request.features, self.request.dtype))

    def unmeasured(self) -> dict[str, str]:
        """Say of every backend without a total why it has none."""
        reasons = dict(self.missing)
        for name, model in self.models.items():
            if not model.complete:
                reasons[name] = (
                    (f"failed: {why}" if (why := model.observations.failure) else "")
                    or self.dropped.get(name)
                    or self.late.get(name)
                    or "the budget ended before its turn"
                )
        return reasons


def _nearest(sizes: Sequence[int], rows: int) -> int:
    return min(sizes, key=lambda n: abs(math.log(n / rows)))


def _alike(samples: Sequence[Sample], rows: int) -> int:
    """Return how many are of sizes within `ALIKE` of this one."""
    return sum(abs(math.log10(s.rows / rows)) <= ALIKE for s in samples)


def _measured(model: CostModel, rows: int) -> bool:
    return any(s.rows == rows for s in model.observations.place)


def _for_least_squares(model: CostModel) -> bool:
    return Name.parse(model.backend).least_squares_only
