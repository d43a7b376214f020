"""Collect earlier measurements of this machine from the store.

The store is the folder in which `run` and `pick` save their results. A record is used only if
its machine, package versions, number of threads and measuring code are the present ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.curves import Sample
from bench.pick.throughput import MemoryThroughput
from bench.results.case import BASELINES, READ, SQUARED, Case
from bench.results.record import Measurement, Outcome, Record
from bench.results.saved import folder

NOT_TIMED = ("memory_bytes",)
"""Fields of a machine's description that do not affect timings: only the memory size.

In a container, the memory size is the container's limit, which can change.
"""


@dataclass(frozen=True)
class Observations:
    """The measurements of a backend for one number of features and one dtype.

    Attributes
    ----------
    imports : tuple of float
        Seconds to import the library; one value for each process that imported it.
    place, first_call : tuple of Sample
        Seconds of placing the data and of the first call. The values come from fresh processes,
        which find no compiled code of an earlier process.
    place_again : tuple of Sample
        Seconds of placing the data in a process that had placed them before.
    step : tuple of Sample
        Seconds per step; the median of each process.
    peak_bytes : tuple of Sample
        Peak memory, in bytes, of a fresh process that placed the data and took a step.
    added_bytes : tuple of Sample
        Memory, in bytes, that the backend needed in addition to the data.
    failure : str
        Reason why a case of the backend failed; empty if no case failed.
    waiting : float
        Fraction of a step's time in which the processor waits for memory, if memory has its
        usual speed. 0 if no step was measured with data larger than the caches.
    shared : bool
        Whether `place` and `first_call` were measured in a process that timed steps, because no
        fresh process was measured. Another backend of the library may have done a part of the
        setup in the same process.
    """

    imports: tuple[float, ...] = ()
    place: tuple[Sample, ...] = ()
    place_again: tuple[Sample, ...] = ()
    first_call: tuple[Sample, ...] = ()
    step: tuple[Sample, ...] = ()
    peak_bytes: tuple[Sample, ...] = ()
    added_bytes: tuple[Sample, ...] = ()
    failure: str = ""
    waiting: float = 0.0
    shared: bool = False

    def at_usual_throughput(
        self, memory: MemoryThroughput, features: int, dtype: str
    ) -> Observations:
        """Return a copy with the step times that are expected at memory's usual speed.

        A step time is converted only if the step's data are too large for the caches, and if a
        read of memory was timed together with the step.
        """
        steps, waiting = [], []
        for sample in self.step:
            nbytes = step_bytes(sample.rows, features, dtype)
            if sample.read_bytes_per_s and memory.holds(nbytes):
                value, share = memory.steady(nbytes, sample.value, sample.read_bytes_per_s)
                sample = Sample(sample.rows, value)
                waiting.append(share)
            steps.append(sample)
        return replace(self, step=tuple(steps), waiting=median(waiting or [0.0]))


def alike(
    store: Path, machine: Mapping[str, Any], code: str, loss: str = SQUARED
) -> list[Record]:
    """Return the store's records of this machine, code and loss, oldest first.

    The memory sizes of a record and of this machine can differ, because the size does not
    affect timings. If the sizes differ, the record's failed cases are left out, because another
    memory size can prevent the failure.
    """
    here, memory = _timed(machine), machine.get("memory_bytes")
    found = []
    for saved in folder(store):
        record = saved.record.of_loss(loss)
        if _timed(record.machine) == here and record.code == code:
            same = record.machine.get("memory_bytes") == memory
            found.append(record if same else _without_failures(record))
    return found


def _without_failures(record: Record) -> Record:
    """Return the record without its failed cases."""

    def good(outcome: Outcome) -> Outcome:
        kept = tuple(m for m in outcome.measurements if m.row not in outcome.failures)
        return replace(outcome, measurements=kept, failures={})

    return replace(record, tasks={name: good(o) for name, o in record.tasks.items()})


def _timed(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a machine's description that affect timings."""
    return {name: value for name, value in machine.items() if name not in NOT_TIMED}


def measurements(records: Iterable[Record]) -> Iterator[tuple[Case, Measurement, Outcome]]:
    """Yield (case, measurement, outcome of the child process) for each measurement.

    Baselines are left out, because they are not backends. Failed cases are left out, such as
    cases with a wrong w. Measurements over the rows of a file are left out, because reading
    from a disk takes additional time.
    """
    for outcome in _of_memory(records):
        for m in outcome.measurements:
            case = Case.parse(m.row)
            if case.backend not in BASELINES and m.row not in outcome.failures:
                yield case, m, outcome


def _of_memory(records: Iterable[Record]) -> Iterator[Outcome]:
    """Yield the outcomes of child processes whose rows were not read from a file."""
    for record in records:
        if not record.request.get("data"):
            yield from record.tasks.values()


def memory_throughput(records: Iterable[Record], cache_bytes: int) -> MemoryThroughput:
    """Collect the throughput of memory from all reads that were timed together with steps."""
    reads = []
    for outcome in _of_memory(records):
        for m in outcome.measurements:
            case = Case.parse(m.row)
            if m.kind == READ:
                rate = None if "threads" in m.info else _baseline_rate(m)
            else:
                rate = _rate_beside(m)
            if rate and case.reads_memory:
                reads.append((case.bytes_per_step, rate))
    return MemoryThroughput.of(reads, cache_bytes)


def _baseline_rate(read: Measurement) -> float:
    return float(read.info["bytes"] / median(read.seconds_per_step))


def _rate_beside(step: Measurement) -> float | None:
    rates = step.info.get("read_bytes_per_s")
    return median(rates) if rates else None


def _read_beside(case: Case, step: Measurement, outcome: Outcome) -> float | None:
    """Return how fast a step's data are read if nothing is computed, in bytes/s.

    - If a read was timed before each timing of the step, the result is the median of these
      reads.
    - If not, the result is the throughput of the baseline ``read`` in the same process.
    - The result is None if no read was timed, or if the step reads no rows from the CPU's
      memory.
    """
    if not case.reads_memory:
        return None
    baseline = str(case.read)
    read = next((m for m in outcome.measurements if m.row == baseline), None)
    return _rate_beside(step) or (_baseline_rate(read) if read else None)


def noises(
    records: Iterable[Record], features: int, dtype: str
) -> Iterator[Mapping[str, float]]:
    """Yield how much other programs disturbed each child process (`Outcome.noise`).

    Child processes without a case of the given `features` and `dtype` are left out.
    """
    for record in records:
        for outcome in record.tasks.values():
            cases = (Case.parse(m.row) for m in outcome.measurements)
            if any((case.features, case.dtype) == (features, dtype) for case in cases):
                yield outcome.noise


def failures(records: Iterable[Record]) -> dict[Case, str]:
    """Return a dict of the backends' failed cases (keys) and the reasons (values).

    Failed cases of the baselines (a plain read, and the descent in C) are left out.
    """
    return {
        Case.parse(text): why
        for record in records
        for outcome in record.tasks.values()
        for text, why in outcome.failures.items()
        if not text.startswith(tuple(f"{y}/" for y in BASELINES))
    }


def observations(
    records: Iterable[Record], features: int, dtype: str
) -> dict[str, Observations]:
    """Return a dict with the observations of each backend.

    Only measurements with the given `features` and `dtype` are used.
    """
    records = list(records)
    imports = import_seconds(records)
    samples: dict[str, dict[str, list[Sample]]] = {}
    first: dict[str, dict[str, Sample]] = {}
    for case, m, outcome in measurements(records):
        if (case.features, case.dtype) != (features, dtype):
            continue
        mine = samples.setdefault(case.backend, {})
        read = _read_beside(case, m, outcome) if m.kind == "step" else None
        if m.kind == "step":  # keep the first setup: later processes find compiled code
            stages = m.info.get("set_up_s", {})
            set_up = {name: Sample(case.rows, seconds) for name, seconds in stages.items()}
            first.setdefault(case.backend, set_up)
        sample = Sample(case.rows, median(m.seconds_per_step), read)
        mine.setdefault(m.kind, []).append(sample)
        peak = m.info.get("peak_device_bytes") or m.info.get("peak_bytes")
        figures = {
            "peak_bytes": (case.rows, peak),
            "added_bytes": (m.info.get("more_rows", case.rows), m.info.get("added_bytes")),
            "place_again": (case.rows, m.info.get("place_again_s")),
        }
        for name, (rows, value) in figures.items():
            if value is not None:
                mine.setdefault(name, []).append(Sample(rows, value))
    wrong = {
        case.backend: why
        for case, why in failures(records).items()
        if (case.features, case.dtype) == (features, dtype)
    }

    def of(backend: str, figure: str) -> tuple[Sample, ...]:
        return tuple(samples.get(backend, {}).get(figure, ()))

    def setup(backend: str, stage: str) -> tuple[Sample, ...]:
        in_steps = first.get(backend, {}).get(stage)
        return of(backend, stage) or ((in_steps,) if in_steps else ())

    return {
        backend: Observations(
            imports=tuple(imports.get(Name.parse(backend).library, ())),
            place=setup(backend, "place"),
            place_again=of(backend, "place_again"),
            first_call=setup(backend, "first_call"),
            step=of(backend, "step"),
            peak_bytes=of(backend, "peak_bytes"),
            added_bytes=of(backend, "added_bytes"),
            failure=wrong.get(backend, ""),
            shared=not of(backend, "place") and bool(setup(backend, "place")),
        )
        for backend in samples.keys() | wrong.keys()
    }


def steady_observations(
    records: Iterable[Record], features: int, dtype: str, memory: MemoryThroughput
) -> dict[str, Observations]:
    """Return a dict with the observations of each backend, converted to usual memory speed."""
    found = observations(records, features, dtype)
    return {
        backend: seen.at_usual_throughput(memory, features, dtype)
        for backend, seen in sorted(found.items())
    }


def import_seconds(records: Iterable[Record]) -> dict[str, list[float]]:
    """Return a dict with the import times of each library, in seconds.

    A library has one import time for each process that imported it.
    """
    found: dict[str, list[float]] = {}
    for case, m, _ in measurements(records):
        if m.kind == "import":
            found.setdefault(case.library, []).append(m.seconds[0])
        elif seconds := m.info.get("set_up_s", {}).get("import"):
            found.setdefault(case.library, []).append(seconds)
    return found


def age(stored: Iterable[Record], measured: Record) -> str:
    """Return a remark about the age of the oldest record in `stored`; empty without records."""
    created = [datetime.fromisoformat(record.created) for record in stored if record.tasks]
    if not created:
        return ""
    hours = (datetime.now(UTC) - min(created)).total_seconds() / 3600
    old = f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h" if hours < 48 else ""
    old = old or f"{hours / 24:.0f} days"
    some = "Some measurements are" if measured.tasks else "The measurements are"
    return f"{some} up to {old} old (--fresh ignores them and measures again)."
