"""Read and write the record of a run: all raw timings, and the machine.

A record holds no statistics; `bench.results.summary` computes them. A run writes its record
atomically after every child process, so that an interrupted run can be continued.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from backends.errors import DescentbenchError
from bench.host.files import StoreError, write_atomically
from bench.results.case import READ, check_case, loss_of
from bench.results.shape import Optional, Positive, check

SCHEMA = 1

MEASUREMENT = {
    "kind": str,
    "row": str,
    "seconds": [Positive],
    "steps": Positive,
    "info": {
        Optional("bytes"): Positive,
        Optional("threads"): Positive,
        Optional("in_turn"): bool,
        Optional("relative_error"): (float, None),
        Optional("peak_bytes"): (int, None),
        Optional("peak_device_bytes"): (int, None),
        Optional("added_bytes"): (int, None),
        Optional("more_rows"): Positive,
        Optional("place_again_s"): (float, None),
        Optional("set_up_s"): {str: Positive},
        Optional("waiting"): (float, None),
        Optional("read_bytes_per_s"): [Positive],
        Optional("read_by"): str,
        Optional("choice"): {str: int},
    },
}

SHAPE = {
    "created": str,
    "request": {
        "rows": [str],
        Optional("pick"): {
            "names": [str],
            Optional("missing"): {str: str},
            Optional("at_least"): {str: Positive},
        },
    },
    "machine": {
        "cpu": str,
        "cpus": int,
        "memory_bytes": int,
        "caches": {str: int},
        "os": str,
        "python": str,
        "gpus": [{"name": str, "memory_bytes": (int, None), "driver": str}],
        "versions": {str: str},
        "threads": int,
    },
    "code": str,
    "tasks": {
        str: {
            "measurements": [MEASUREMENT],
            "failures": {str: str},
            "thread_pools": [dict],
            Optional("noise"): {
                Optional(kind): float for kind in ("throttled", "swapped", "others", "stolen")
            },
        }
    },
    "complete": bool,
    "schema": int,
    Optional("name"): str,
    Optional("revision"): str,
    Optional("beside"): str,
}
"""Shape of a record file in the notation of `bench.results.shape`; `Record.load` checks it."""


class RecordError(StoreError):
    """A result file cannot be read or written."""


@dataclass(frozen=True)
class Measurement:
    """The rounds of one benchmark in one process.

    Attributes
    ----------
    kind : str
        Kind of the benchmark: ``import``, ``place``, ``first_call``, ``new_shape``,
        ``more_rows``, ``step`` or ``read``.
    row : str
        The measured benchmark case as text, such as ``numba/1000000x32/float32``.
    seconds : tuple of float
        Time of each round in seconds.
    steps : int
        Number of steps in a round. A round of the kind ``read`` reads the data this many times.
    info : dict
        Further results of the benchmark, such as relative error and peak memory in bytes.
    """

    kind: str
    row: str
    seconds: tuple[float, ...]
    steps: int = 1
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds_per_step(self) -> list[float]:
        """Seconds per step in each round."""
        return [s / self.steps for s in self.seconds]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one child process.

    `failures` has the reason for each failed case. `noise` has the disturbances of the machine,
    with the keys of `bench.host.noise.Noise.seen`.
    """

    measurements: tuple[Measurement, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    thread_pools: list[dict[str, Any]] = field(default_factory=list)
    noise: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A run: the request, the machine, and the outcome of each child process.

    Attributes
    ----------
    created : str
        Time of creation, ISO 8601, UTC.
    request : dict
        The cases and options of the run.
    machine : dict
        Fields of `bench.host.machine.Machine`.
    code, revision : str
        Hash and git revision of the code; see `bench.measure.version`.
    tasks : dict
        Outcome of each child process, by the name of its task.
    name : str
        Name that ``run --name`` gave; "" without a name.
    beside : str
        Text that two runs share if ``run --against`` measured them alternately; "" otherwise.
    """

    created: str
    request: dict[str, Any]
    machine: dict[str, Any]
    code: str
    tasks: dict[str, Outcome] = field(default_factory=dict)
    complete: bool = False
    schema: int = SCHEMA
    name: str = ""
    revision: str = ""
    beside: str = ""

    def with_outcome(self, task: str, outcome: Outcome) -> Record:
        """Return a copy of the record, with the outcome of one further task."""
        reasons = {case: printable(why) for case, why in outcome.failures.items()}
        outcome = replace(outcome, failures=reasons)
        return replace(self, tasks=self.tasks | {task: outcome})

    def continues(self, other: Record) -> bool:
        """Return whether `other` has the same request, machine and code as this record."""
        mine, its = ((r.request, r.machine, r.code) for r in (self, other))
        return mine == its

    def of_loss(self, loss: str) -> Record:
        """Return a copy of the record without the measurements of any other loss."""

        def fits(case: str) -> bool:
            return case.startswith(f"{READ}/") or loss_of(case) == loss

        def only(of: Outcome) -> Outcome:
            kept = tuple(m for m in of.measurements if m.kind == "import" or fits(m.row))
            failures = {case: why for case, why in of.failures.items() if fits(case)}
            return replace(of, measurements=kept, failures=failures)

        cases = [case for case in self.request["rows"] if fits(case)]
        tasks = {name: only(outcome) for name, outcome in self.tasks.items()}
        if tasks == self.tasks and cases == self.request["rows"]:
            return self
        return replace(self, request=self.request | {"rows": cases}, tasks=tasks)

    def save(self, path: Path) -> None:
        """Write the record atomically."""
        document = asdict(self) | {"benchmarks": pytest_benchmarks(self)}
        write_atomically(path, json.dumps(document, indent=1, allow_nan=False))

    @classmethod
    def load(cls, path: Path, *, follow: bool = True) -> Record:
        """Read a record from a file.

        Parameters
        ----------
        path : Path
        follow : bool
            Whether `path` is allowed to be an output of ``run --json``. The output names a
            record's file, and that file is then read.

        Raises
        ------
        RecordError
            The file cannot be read, is not a record of this schema, or has an impossible value.
        """
        try:
            raw = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
        except OSError as error:
            raise RecordError(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise RecordError(f"{path} is not a result file: {error}") from None
        if isinstance(raw, dict) and raw.keys() >= PYTEST_BENCHMARK:
            raise RecordError(
                f"{path} is a file of pytest-benchmark, for 'pytest-benchmark compare'; "
                "give a result of 'descentbench run' instead"
            )
        schema = raw.get("schema") if isinstance(raw, dict) else None
        if schema != SCHEMA:
            raise RecordError(f"{path} has schema {schema!r}; this version reads {SCHEMA}")
        if follow and raw.keys() >= PRINTED and "tasks" not in raw:
            return cls.load(_record_of(path, raw), follow=False)
        try:
            raw.pop("benchmarks", None)  # a copy of the steps for `pytest-benchmark compare`
            check(raw, SHAPE)
            tasks = {name: _outcome(value) for name, value in raw.pop("tasks").items()}
            record = cls(**raw, tasks=tasks)
            _check_words(record)
        except (DescentbenchError, TypeError, ValueError) as error:
            raise RecordError(f"{path} is damaged: {error}") from None
        return record


PYTEST_BENCHMARK = {"benchmarks", "machine_info", "commit_info"}
"""Fields that every file of pytest-benchmark has. A record does not have all of them."""

PRINTED = {"machine", "results"}
"""A file with these fields and without ``tasks`` is an output of ``run --json``."""


def _record_of(path: Path, printed: dict[str, Any]) -> Path:
    """Return the path of the record that an output of ``run --json`` names."""
    named = printed.get("record")
    if isinstance(named, str) and named.isprintable() and Path(named).is_file():
        return Path(named)
    where = ", .benchmarks by default"
    if isinstance(named, str):
        where = f" of that run; {printable(named)} no longer exists"
    raise RecordError(
        f"{path} is the output of 'run --json', which holds no timings: "
        f"give the record instead, a file in the store{where}"
    )


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _check_words(record: Record) -> None:
    """Raise an error if the date or a case is not valid, or if a measurement is incomplete."""
    if datetime.fromisoformat(record.created).tzinfo is None:
        raise RecordError(f"created has no time zone: {record.created!r}")
    cases = {*record.request["rows"]}
    for outcome in record.tasks.values():
        cases |= outcome.failures.keys() | {m.row for m in outcome.measurements}
        for m in outcome.measurements:
            if not m.seconds or (m.kind == READ and "bytes" not in m.info):
                raise RecordError(f"a {m.kind!r} of {m.row} has no times or no bytes")
            if (m.kind == READ) != m.row.startswith(f"{READ}/"):
                raise RecordError(f"{m.row} is not a case with a {m.kind!r}")
    for case in cases:
        check_case(case)


def pytest_benchmarks(record: Record) -> list[dict[str, Any]]:
    """Return the step times in the format that ``pytest-benchmark compare`` reads."""
    from pytest_benchmark.stats import Stats

    cases: dict[str, Any] = {}
    for outcome in record.tasks.values():
        for m in outcome.measurements:
            if m.kind == "step" and m.row not in outcome.failures:
                of = cases.setdefault(m.row, Stats())
                for seconds in m.seconds_per_step:
                    of.update(seconds)
    return [
        {
            "group": None,
            "name": case,
            "fullname": f"bench/test_step.py::test_step[{case}]",
            "params": None,
            "param": case,
            "extra_info": {},
            "stats": stats.as_dict() | {"iterations": 1},
        }
        for case, stats in cases.items()
    ]


def printable(text: str) -> str:
    """Return the text with unprintable characters, such as line breaks, replaced by U+FFFD."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _outcome(raw: dict[str, Any]) -> Outcome:
    measurements = tuple(
        Measurement(**(m | {"seconds": tuple(m["seconds"])})) for m in raw["measurements"]
    )
    return Outcome(**(raw | {"measurements": measurements}))
