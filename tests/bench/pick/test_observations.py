"""Test which earlier records count for a request, and what is taken from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.pick.curves import Sample
from bench.pick.observations import age, alike, noises, observations
from bench.results.record import Measurement, Outcome, Record
from tests.support.records import LAPTOP

MACHINE = LAPTOP | {"cpu": "made up", "caches": {"L3": 32 << 20}}


def test_only_what_was_measured_here_and_was_right_counts(tmp_path: Path) -> None:
    def record(**more: object) -> Record:
        row = "numpy/100x1/float32"
        good = Measurement("step", row, (2.0, 1.0, 3.0), 2)
        grown = Measurement("more_rows", row, (1.0,), 1, {"added_bytes": 8, "more_rows": 4})
        other = Measurement("step", "numpy/100x2/float32", (9.0,))
        wrong = Measurement("step", "torch/100x1/float32", (9.0,))
        read = Measurement("read", "read/100x1/float32", (9.0,), 1, {"bytes": 800})
        task = Outcome((good, grown, other, wrong, read), {"torch/100x1/float32": "w is wrong"})
        whole = Record("2026-01-01T00:00:00.000+00:00", {"rows": [row]}, MACHINE, "code")
        return replace(whole, tasks={"t": task}, **more)  # type: ignore[arg-type]

    record().save(tmp_path / "run-1.json")
    record(code="older").save(tmp_path / "run-2.json")
    record(machine={"cpu": "another"}).save(tmp_path / "pick-3.json")
    (tmp_path / "run-4.json").write_text("{")
    found = alike(tmp_path, MACHINE, "code")
    assert len(found) == 1
    seen = observations(found, 1, "float32")
    assert [s.value for s in seen["numpy"].step] == [1.0]
    assert seen["torch"].failure == "w is wrong"
    assert not seen["torch"].step
    assert "read" not in seen
    assert seen["numpy"].added_bytes == (Sample(4, 8),)
    assert "days old" in age(found, found[0])


def test_a_process_that_times_steps_tells_the_setup_until_a_fresh_one_does() -> None:
    """Check that a process that times steps also gives setup times.

    They count until a new process measured a setup. Only the first backend of a process counts,
    because later backends find compiled code.
    """
    row, larger = "torch/100x1/float32", "torch/900x1/float32"

    def step(case: str, first: float) -> Measurement:
        stages = {"import": 2.0, "place": 0.1, "first_call": first}
        return Measurement("step", case, (1.0,), 1, {"set_up_s": stages})

    tasks = {"a": Outcome((step(row, 5.0), step(larger, 4.0))), "b": Outcome((step(row, 0.5),))}
    record = Record("2026-01-01T00:00:00.000+00:00", {"rows": [row]}, MACHINE, "code", tasks)
    seen = observations([record], 1, "float32")["torch"]
    assert seen.shared
    assert seen.first_call == (Sample(100, 5.0),)
    assert seen.place == (Sample(100, 0.1),)
    assert seen.imports == (2.0, 2.0, 2.0)
    alone = Outcome((Measurement("place", row, (0.3,)), Measurement("first_call", row, (7.0,))))
    fresh = observations([replace(record, tasks=tasks | {"c": alone})], 1, "float32")["torch"]
    assert not fresh.shared
    assert fresh.first_call == (Sample(100, 7.0),)


def test_what_disturbed_is_of_the_same_features(tmp_path: Path) -> None:
    rows = ["numpy/9x1/float32", "read/9x1/float32", "numpy/9x2/float32", "numpy/9x1/float64"]
    tasks = {
        row: Outcome((Measurement("step", row, (1.0,)),), noise={"swapped": float(k)})
        for k, row in enumerate(rows)
    }
    record = Record("2026-01-01T00:00:00.000+00:00", {"rows": rows}, MACHINE, "code", tasks)
    found = [noise["swapped"] for noise in noises([record], 1, "float32")]
    assert found == [0, 1]


def test_another_memory_limit_drops_no_timing(tmp_path: Path) -> None:
    """Fixed bug: measurements made with another memory limit were ignored.

    Failures with another limit do not count, because too little memory may be their cause.
    """
    row, failed = "numpy/100x1/float32", "torch/100x1/float32"
    task = Outcome(
        (Measurement("step", row, (1.0,)), Measurement("step", failed, (2.0,))),
        {failed: "memory ran out"},
    )
    created = "2026-01-01T00:00:00.000+00:00"
    Record(created, {"rows": [row]}, MACHINE, "code", {"t": task}).save(tmp_path / "run-1.json")
    more = MACHINE | {"memory_bytes": 2 * MACHINE["memory_bytes"]}
    for machine, wrong in ((MACHINE, "memory ran out"), (more, "")):
        seen = observations(alike(tmp_path, machine, "code"), 1, "float32")
        assert [s.value for s in seen["numpy"].step] == [1.0]
        assert (seen["torch"].failure if "torch" in seen else "") == wrong
    assert "torch" not in seen
    assert not alike(tmp_path, MACHINE | {"threads": 1}, "code")
