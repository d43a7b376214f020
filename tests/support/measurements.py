"""Make records, measurements and results for tests from a few numbers."""

from __future__ import annotations

from bench.results.record import Measurement, Outcome, Record
from bench.results.summary import Interval, Result


def record(rows: list[str], *outcomes: Outcome) -> Record:
    tasks = {f"task {i}": outcome for i, outcome in enumerate(outcomes)}
    return Record("", {"rows": rows}, {"threads": 3}, "", tasks)


def step(row: str, *seconds: float, steps: int = 1, error: float = 1e-8) -> Measurement:
    return Measurement("step", row, seconds, steps, {"relative_error": error})


def outcome(*measurements: Measurement, **failures: str) -> Outcome:
    return Outcome(measurements, failures)


RESULT = Result(
    backend="numpy",
    rows=100,
    features=1,
    dtype="float32",
    steps=1000,
    threads=2,
    verified=True,
    reason="",
    relative_error=1.23e-7,
    import_s=0.1,
    place_s=0.0012,
    first_call_s=0.034,
    new_shape_s=0.021,
    step_s=Interval(8e-6, 7e-6, 8.6e-6),
    bytes_per_step=800,
    bandwidth_fraction=None,
    peak_bytes=52_000_000,
    peak_device_bytes=None,
)
