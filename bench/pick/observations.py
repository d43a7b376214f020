"""What earlier runs measured here: the store that `run` and `pick` share.

Only records of the same machine, versions, threads and code count; a
measurement taken elsewhere would be another machine's truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from backends.names import Name
from bench.pick.model import Observations, Sample
from bench.pick.throughput import MemoryPace
from bench.results.case import BASELINES, READ, Case
from bench.results.record import Measurement, Outcome, Record
from bench.results.saved import folder
from bench.results.summary import read_fraction


def alike(store: Path, machine: dict[str, Any], code: str) -> list[Record]:
    """Return the store's records that were taken here as it is now, oldest first."""
    records = (saved.record for saved in folder(store))
    return [r for r in records if r.machine == machine and r.code == code]


def measurements(records: Iterable[Record]) -> Iterator[tuple[Case, Measurement, Outcome]]:
    """Yield every backend's measurements whose w was right, and the child's they are of.

    Those of a file's rows are left out: they may have been read from it.
    """
    for outcome in _of_memory(records):
        for m in outcome.measurements:
            row = Case.parse(m.row)
            if row.backend not in BASELINES and m.row not in outcome.failures:
                yield row, m, outcome


def _of_memory(records: Iterable[Record]) -> Iterator[Outcome]:
    """Yield what children gave that had their rows in memory."""
    for record in records:
        if not record.request.get("data"):
            yield from record.tasks.values()


def memory_pace(records: Iterable[Record], cache_bytes: int) -> MemoryPace:
    """Return the paces at which memory was read, beside any steps."""
    reads = []
    for outcome in _of_memory(records):
        for m in outcome.measurements:
            row = Case.parse(m.row)
            rate = _yardstick_rate(m) if m.kind == READ else _rate_beside(m)
            if rate and row.reads_memory:
                reads.append((row.bytes_per_step, rate))
    return MemoryPace.of(reads, cache_bytes)


def _yardstick_rate(read: Measurement) -> float:
    return float(read.info["bytes"] / median(read.seconds_per_step))


def _rate_beside(step: Measurement) -> float | None:
    rates = step.info.get("read_bytes_per_s")
    return median(rates) if rates else None


def _read_beside(row: Case, step: Measurement, outcome: Outcome) -> float | None:
    """Return the bytes/s of a read just before the rounds; else of the child's yardstick."""
    if not row.reads_memory:
        return None
    yardstick = str(row.read)
    read = next((m for m in outcome.measurements if m.row == yardstick), None)
    return _rate_beside(step) or (_yardstick_rate(read) if read else None)


def noises(
    records: Iterable[Record], features: int, dtype: str
) -> Iterator[Mapping[str, float]]:
    """Yield what disturbed each process that measured these features and dtype."""
    for record in records:
        for outcome in record.tasks.values():
            rows = (Case.parse(m.row) for m in outcome.measurements)
            if any((row.features, row.dtype) == (features, dtype) for row in rows):
                yield outcome.noise


def failures(records: Iterable[Record]) -> dict[Case, str]:
    """Return why rows failed."""
    return {
        Case.parse(row): why
        for record in records
        for outcome in record.tasks.values()
        for row, why in outcome.failures.items()
        if not row.startswith(tuple(f"{y}/" for y in BASELINES))
    }


def observations(
    records: Iterable[Record], features: int, dtype: str
) -> dict[str, Observations]:
    """Sort what the records hold of these features and dtype by backend."""
    records = list(records)
    imports = import_seconds(records)
    samples: dict[str, dict[str, list[Sample]]] = {}
    for row, m, outcome in measurements(records):
        if (row.features, row.dtype) != (features, dtype):
            continue
        mine = samples.setdefault(row.backend, {})
        read = _read_beside(row, m, outcome) if m.kind == "step" else None
        sample = Sample(row.rows, median(m.seconds_per_step), read)
        mine.setdefault(m.kind, []).append(sample)
        peak = m.info.get("peak_device_bytes") or m.info.get("peak_bytes")
        figures = {
            "peak_bytes": (row.rows, peak),
            "added_bytes": (m.info.get("more_rows", row.rows), m.info.get("added_bytes")),
            "place_again": (row.rows, m.info.get("place_again_s")),
        }
        for name, (rows, value) in figures.items():
            if value is not None:
                mine.setdefault(name, []).append(Sample(rows, value))
    wrong = {
        row.backend: why
        for row, why in failures(records).items()
        if (row.features, row.dtype) == (features, dtype)
    }

    def of(backend: str, figure: str) -> tuple[Sample, ...]:
        return tuple(samples.get(backend, {}).get(figure, ()))

    return {
        backend: Observations(
            imports=tuple(imports.get(Name.parse(backend).library, ())),
            place=of(backend, "place"),
            place_again=of(backend, "place_again"),
            first_call=of(backend, "first_call"),
            step=of(backend, "step"),
            peak_bytes=of(backend, "peak_bytes"),
            added_bytes=of(backend, "added_bytes"),
            failure=wrong.get(backend, ""),
        )
        for backend in samples.keys() | wrong.keys()
    }


def steady_observations(
    records: Iterable[Record], features: int, dtype: str, pace: MemoryPace
) -> dict[str, Observations]:
    """Return the observations with the steps as they would be at the memory's usual pace."""
    found = observations(records, features, dtype)
    return {b: seen.at_usual_pace(pace, features, dtype) for b, seen in sorted(found.items())}


def import_seconds(records: Iterable[Record]) -> dict[str, list[float]]:
    """Return the import times of every library, one a fresh process."""
    found: dict[str, list[float]] = {}
    for row, m, _ in measurements(records):
        if m.kind == "import":
            found.setdefault(row.library, []).append(m.seconds[0])
    return found


def fractions(records: Iterable[Record], features: int, dtype: str) -> dict[str, float | None]:
    """Return each backend's share of the read bandwidth, at its largest measured size."""
    largest: dict[str, tuple[int, float]] = {}
    for record in records:
        for row in {Case.parse(text) for text in record.request["rows"]}:
            if (row.features, row.dtype) != (features, dtype):
                continue
            if not row.reads_rows:
                continue
            share = read_fraction(record, row)
            if share is not None and row.rows >= largest.get(row.backend, (0, 0.0))[0]:
                largest[row.backend] = row.rows, share
    return {backend: share for backend, (_, share) in largest.items()}


def age(known: Iterable[Record], measured: Record) -> str:
    """Say how old the measurements are that were not taken just now."""
    created = [datetime.fromisoformat(record.created) for record in known if record.tasks]
    if not created:
        return ""
    hours = (datetime.now(UTC) - min(created)).total_seconds() / 3600
    old = f"{hours * 60:.0f} min" if hours < 2 else f"{hours:.0f} h" if hours < 48 else ""
    old = old or f"{hours / 24:.0f} days"
    some = "Some measurements are" if measured.tasks else "From measurements"
    return f"{some} up to {old} old (--fresh measures anew)."
