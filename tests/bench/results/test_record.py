"""Test result files: a saved file is read again, and an invalid file is refused."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.host.files import StoreError, write_atomically
from bench.results.case import Case
from bench.results.record import SCHEMA, Measurement, Outcome, Record, RecordError
from tests.support.records import LAPTOP

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
MORE = OBJECTS.map(lambda more: {f"more {name}": value for name, value in more.items()})
"""Random fields that no version writes."""

WORDS = st.text(st.characters(exclude_categories=["C", "Z"]))
ROWS = st.builds(
    Case,
    st.sampled_from(["numpy", "numpy:blocked", "torch@cuda:0", "not:known", "c"]),
    st.integers(1, 10**12),
    st.integers(1, 10**6),
    st.sampled_from(["float32", "float64"]),
).map(str)
MEASUREMENTS = st.builds(
    Measurement,
    WORDS.filter(lambda kind: kind != "read"),
    ROWS,
    st.lists(st.floats(1e-12, 1e9), min_size=1).map(tuple),
    st.integers(1, 10**9),
    MORE,
)
OUTCOMES = st.builds(
    Outcome,
    st.lists(MEASUREMENTS, max_size=2).map(tuple),
    st.dictionaries(ROWS, WORDS, max_size=2),
    st.lists(OBJECTS, max_size=2),
    st.dictionaries(st.sampled_from(["throttled", "stolen"]), st.floats(0, 1)),
)
RECORDS = st.builds(
    Record,
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.builds(lambda rows, more: more | {"rows": rows}, st.lists(ROWS), MORE),
    OBJECTS.map(lambda more: more | LAPTOP),
    WORDS,
    st.dictionaries(WORDS, OUTCOMES, max_size=2),
    st.booleans(),
)

RECORD = Record(
    created="2030-01-01T00:00:00+00:00",
    request={"rows": ["numpy/100x1/float32"], "passes": 1},
    machine=LAPTOP,
    code="0123456789ab",
    tasks={
        "set-up numpy/100x1/float32": Outcome(
            (Measurement("place", "numpy/100x1/float32", (0.25,), 1, {"peak_bytes": 7}),),
        ),
        "pass 1 of 1, numpy": Outcome(failures={"numpy/100x1/float32": "it died"}),
    },
)


def reload(record: Record) -> Record:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        record.save(path)
        return Record.load(path)


def load_text(content: bytes) -> Record:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        path.write_bytes(content)
        return Record.load(path)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("record") / "run.json"
    RECORD.save(path)
    return path.read_bytes()


# load


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert reload(record) == record


def test_an_outcome_is_added_to_a_copy() -> None:
    outcome = Outcome(failures={ROW: "why"})
    more = RECORD.with_outcome("another", outcome)
    assert more.tasks == RECORD.tasks | {"another": outcome}
    assert "another" not in RECORD.tasks
    assert reload(more) == more != RECORD


@given(data=st.data())
def test_no_edit_of_the_bytes_raises_anything_else(written: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(written)))
    stop = data.draw(st.integers(start, min(start + 20, len(written))))
    edited = written[:start] + data.draw(st.binary(max_size=20)) + written[stop:]
    with suppress(RecordError):  # some edits are harmless
        load_text(edited)


@given(data=st.data())
def test_no_cut_file_is_a_record(written: bytes, data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(written.rstrip()) - 1))
    with pytest.raises(RecordError):
        load_text(written[:kept])


@given(data=st.data())
def test_no_other_value_in_a_field_raises_anything_else(
    written: bytes, data: st.DataObject
) -> None:
    raw: dict[str, Any] = json.loads(written)
    raw[data.draw(st.sampled_from([*raw, "unknown"]))] = data.draw(JSON)
    with suppress(RecordError):  # the field may hold anything
        load_text(json.dumps(raw).encode())


ROW = "numpy/100x1/float32"
IN_SETUP = f"tasks.set-up {ROW}"


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("created", "yesterday", "'yesterday'"),
        ("created", "2030-01-01T00:00:00", "no time zone"),
        ("created", 7, "created cannot be 7"),
        ("code", "\x1b[2J", "code cannot be '\\x1b[2J'"),
        ("complete", 1, "complete cannot be 1"),
        ("request", [], "request cannot be []"),
        ("request.rows", ROW, f"request.rows cannot be '{ROW}'"),
        ("request.rows", [ROW, None], "request.rows[1] cannot be None"),
        ("request.rows", ["numpy/-100x1/float32"], "'numpy/-100x1/float32' is not BACKEND/"),
        ("request.rows", ["numpy/1e400x1/float32"], "is not BACKEND/"),
        ("request.rows", [f"numpy/{10**400}x1/float32"], "is not BACKEND/"),
        ("request.rows", ["numpy/100x1/float16"], "not 'float16'"),
        ("machine.threads", True, "machine.threads cannot be True"),
        ("machine.threads", 10**400, "machine.threads cannot be 1000"),  # too large for a float
        ("machine.caches", {"L1": "48 kB"}, "machine.caches.L1 cannot be '48 kB'"),
        ("machine.gpus", [{}], "machine.gpus[0] has no 'name'"),
        ("machine", {}, "machine has no 'cpu'"),
        (f"{IN_SETUP}.measurements", {}, "measurements cannot be {}"),
        (f"{IN_SETUP}.measurements.0.seconds", [0.25, 0.0], ".seconds[1] cannot be 0.0"),
        (f"{IN_SETUP}.measurements.0.seconds", [], "has no times"),
        (f"{IN_SETUP}.measurements.0.seconds", ["0.25"], ".seconds[0] cannot be '0.25'"),
        (f"{IN_SETUP}.measurements.0.seconds", [1e999], "Infinity is not a JSON number"),
        (f"{IN_SETUP}.measurements.0.steps", 0, "[0].steps cannot be 0"),
        (
            f"{IN_SETUP}.measurements.0.kind",
            "read",
            "a 'read' of numpy/100x1/float32 has no times",
        ),
        (f"{IN_SETUP}.measurements.0.row", "numpy", "'numpy' is not BACKEND/"),
        (f"{IN_SETUP}.measurements.0.row", "read/1x1/float32", "float32 is not a case with a "),
        (f"{IN_SETUP}.measurements.0.info", None, "[0].info cannot be None"),
        (f"{IN_SETUP}.measurements.0.info.peak_bytes", "7 MB", "peak_bytes cannot be '7 MB'"),
        (f"{IN_SETUP}.measurements.0.info.in_turn", "no", "in_turn cannot be 'no'"),
        (f"{IN_SETUP}.measurements.0.info.threads", 0, "threads cannot be 0"),
        (f"{IN_SETUP}.failures", {ROW: {}}, f"failures.{ROW} cannot be {{}}"),
        (f"{IN_SETUP}.thread_pools", [7], "thread_pools[0] cannot be 7"),
        (f"{IN_SETUP}", "x" * 1000, "cannot be 'xxx"),
    ],
)
def test_what_is_wrong_deep_inside_is_named(
    written: bytes, tmp_path: Path, path: str, value: object, words: str
) -> None:
    raw = json.loads(written)
    inner: Any = raw
    *steps, last = path.replace(ROW, "ROW").split(".")
    for step in steps:
        inner = inner[int(step) if isinstance(inner, list) else step.replace("ROW", ROW)]
    inner[last.replace("ROW", ROW)] = value
    file = tmp_path / "run.json"
    file.write_text(json.dumps(raw))
    with pytest.raises(RecordError) as error:
        Record.load(file)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{file} ")
    assert words in line
    assert len(line) < len(str(file)) + 250


def test_a_reason_is_made_fit_for_a_line() -> None:
    why = "red \x1b[31m, a \udcff path,\nand a line"
    more = RECORD.with_outcome("another", Outcome(failures={ROW: why}))
    (reason,) = more.tasks["another"].failures.values()
    assert reason == "red \ufffd[31m, a \ufffd path,\ufffdand a line"
    assert reload(more) == more


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0, None, str(SCHEMA), [SCHEMA]])
def test_another_schema_is_refused_by_number(written: bytes, schema: object) -> None:
    raw = json.loads(written) | {"schema": schema}
    with pytest.raises(RecordError, match=f"this version reads {SCHEMA}"):
        load_text(json.dumps(raw).encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"3", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000, b"9" * 5000],
    ids=lambda content: repr(content[:8]),
)
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(RecordError):
        load_text(content)


@pytest.mark.parametrize("name", ["missing.json", ".", "no/such/folder/run.json"])
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(RecordError, match=f"^cannot read {path}: "):
        Record.load(path)


# save


def folder_of(path: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in path.parent.iterdir()}


def test_writing_makes_the_folder_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "run.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert folder_of(path) == {"run.json": "new"}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "x" * 100_000 + "\ud800")
    assert folder_of(path) == {"run.json": "old"}


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), StoreError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_so_does_one_that_fails_at_the_last_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
) -> None:
    path = tmp_path / "run.json"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fail)
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(raised):
        write_atomically(path, "new")
    assert folder_of(path) == {"run.json": "old"}


def test_a_folder_in_the_way_stays(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.mkdir()
    with pytest.raises(StoreError, match=f"^cannot write {path}: "):
        RECORD.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
    assert path.is_dir()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write "):
        RECORD.save(tmp_path / "file" / "run.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot write "):
        RECORD.save(tmp_path / "run.json")


# continues


@pytest.mark.parametrize("field", ["request", "machine", "code"])
def test_only_the_same_request_machine_and_code_go_on(field: str) -> None:
    raw = vars(RECORD) | {"created": "later", "tasks": {}, "complete": True}
    assert RECORD.continues(Record(**raw))
    assert not RECORD.continues(Record(**(raw | {field: {"other": 1}})))
