"""Test that no input causes a traceback, runs code or is silently misread.

Each test tries 200 inputs; ``nox -s fuzz`` tries 10,000.
"""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from backends.errors import DescentbenchError
from backends.problem import Problem
from backends.rows.datafile import load
from bench.cli import COMMANDS, main
from bench.host import threads
from bench.measure import runner as measure
from bench.pick import explorer
from bench.pick.observations import age, observations
from bench.pick.shares import near_shares
from bench.report.sources import sources
from bench.results.record import Record, RecordError
from bench.results.saved import Saved
from bench.results.summary import summarise
from bench.results.verdict import compare, differences
from bench.show.formats import results_csv
from bench.show.roofline import limits
from bench.show.table import results_table
from tests.support.records import record

CASES = int(os.environ.get("FUZZ_CASES", "200"))

hostile = settings(
    max_examples=CASES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

ODD_NUMBERS = st.sampled_from(
    [0, -1, 1, 7, 2**31, -(2**63), 10**400, 0.0, -0.0, 5e-324, 1e308, 1.5, True, False]
)
ODD_TEXT = st.text(max_size=8) | st.sampled_from(
    ["", "numpy", "\x1b[2J", "\ud800", "=1+1", "</script>", "a\nb", "../../etc", "x" * 5000]
)
VALUES = st.recursive(
    st.none() | ODD_NUMBERS | ODD_TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)


@contextmanager
def one_line(kind: type[DescentbenchError], words: str = "") -> Iterator[None]:
    """Allow this error inside the context if its message is one line that contains `words`."""
    try:
        yield
    except kind as refusal:
        text = str(refusal)
    else:
        return
    assert len(text.splitlines()) == 1
    assert words in text


# result files


RIGHT = record(
    passes=2,
    sizes=[(100, 1), (1_000_000, 1)],
    costs=dict.fromkeys(("numpy", "numpy:gram"), (0.1, 0.001, 0.0001, 5e-06, 1e-10)),
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("right") / "run.json"
    RIGHT.save(path)
    document: dict[str, Any] = json.loads(path.read_text())
    del document["benchmarks"]
    return document


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key or index) of every value in nested dicts and lists."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return found
    for key in keys:
        found.append((value, key))
        found += places(value[key])
    return found


def edit(document: dict[str, Any], data: st.DataObject) -> None:
    """Change a random place of a document: replace, delete, or copy another place to it."""
    everywhere = places(document)
    inside, key = data.draw(st.sampled_from(everywhere))
    how = data.draw(st.sampled_from(["replace", "delete", "move"]))
    if how == "delete":
        del inside[key]
    elif how == "move":
        other, at = data.draw(st.sampled_from(everywhere))
        inside[key] = copy.deepcopy(other[at])
    else:
        inside[key] = data.draw(VALUES)


def use(read: Record) -> None:
    """Use a record as `run`, `pick`, `compare` and `report` do."""
    results = summarise(read)
    results_table(results)
    results_csv(results)
    limits(read)
    observations([read], 1, "float32")
    near_shares([read], 10_000, 1, "float32")
    age([read], read)
    (source,) = sources([Saved(Path("run.json"), read)])
    assert source.label
    assert len(source.results) <= len(results)
    for model in [m for models in source.models.values() for m in models]:
        model.total(1e9, 1000)
    for pair in ((RIGHT, read), (read, RIGHT)):
        differences(*pair)
        compare(*pair)


@hostile
@given(data=st.data())
def test_an_edited_result_is_right_or_refused_in_a_line(
    written: dict[str, Any], tmp_path: Path, data: st.DataObject
) -> None:
    document = copy.deepcopy(written)
    for _ in range(data.draw(st.integers(1, 3))):
        edit(document, data)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    with one_line(RecordError):
        read = Record.load(path)
        with suppress(DescentbenchError), np.errstate(all="ignore"):
            use(read)


# data files


class Trap:
    """An object that makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (os.mkdir, ("trapped",))


SUFFIXES = (".csv", ".npy", ".npz", ".parquet", ".arrow")
"""Suffixes of the readable formats; `saved` can write all of them."""


def saved(suffix: str) -> bytes:
    """Return the content of a small, valid file in the format of this suffix."""
    table = np.arange(12.0).reshape(4, 3)
    out = io.BytesIO()
    if suffix == ".csv":
        return b'a,"b, c",d\n1,2,3\n4,5e-1,6\n-7,8,9\n'
    if suffix == ".npy":
        np.save(out, table)
    elif suffix == ".npz":
        np.savez_compressed(out, a=table[:, 0], b=table[:, 1], c=table[:, 2])
    else:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        columns = pa.table(dict(zip("abc", table.T, strict=True)))
        if suffix == ".parquet":
            pq.write_table(columns, out)
        else:
            assert suffix == ".arrow"
            with pa.ipc.new_file(out, columns.schema) as file:
                file.write_table(columns)
    return out.getvalue()


PIECES = st.binary(max_size=8) | st.sampled_from(
    [b"nan", b"1e999", b'"', b"\n", b"\r\n", b",,", b"\x00", b"\xff\xfe", b"9" * 400, b"=1+1"]
)


def damage(whole: bytes, data: st.DataObject) -> bytes:
    """Return damaged content: cut off, overwritten, or with a repeated piece."""
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(start + 64, len(whole))))
    how = data.draw(st.sampled_from(["cut", "overwrite", "repeat"]))
    if how == "cut":
        return whole[:start]
    if how == "repeat":
        return whole[:stop] + whole[start:]
    return whole[:start] + data.draw(PIECES) + whole[stop:]


def refused_or_read(path: Path) -> None:
    with one_line(DescentbenchError, str(path)):
        problem = load(path)
        assert isinstance(problem, Problem)
        assert np.isfinite(problem.x).all()
        assert np.isfinite(problem.y).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
@hostile
@given(data=st.data())
def test_a_damaged_data_file_is_read_or_refused_in_a_line(
    suffix: str, tmp_path: Path, data: st.DataObject
) -> None:
    content = saved(suffix)
    for _ in range(data.draw(st.integers(1, 3))):
        content = damage(content, data)
    path = tmp_path / f"data{suffix}"
    path.write_bytes(content)
    refused_or_read(path)


HEADERS = st.fixed_dictionaries(
    {
        "descr": st.sampled_from(
            ["<f8", ">f4", "|O", "<U9", "|V8", "<M8[s]", "<f16", "nonsense"]
        ),
        "fortran_order": st.booleans() | st.just(7),
        "shape": st.lists(
            st.integers(-1, 3) | st.just(10**12) | st.just(2**62), max_size=4
        ).map(tuple),
    }
)


@hostile
@given(header=HEADERS | VALUES, content=st.binary(max_size=64))
@example({"descr": "|O", "fortran_order": False, "shape": (2, 1)}, pickle.dumps([Trap()] * 2))
@example({"descr": "<f8", "fortran_order": False, "shape": (2**62, 2)}, b"")
@example({"descr": "<f8", "fortran_order": False, "shape": (0, 10**12)}, b"")
def test_any_header_of_an_array_is_read_or_refused_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: Any, content: bytes
) -> None:
    """Check that no header runs code: unpickling `Trap` would make a folder."""
    monkeypatch.chdir(tmp_path)
    text = repr(header).encode(errors="replace") + b"\n"
    whole = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + content
    for suffix in (".npy", ".npz"):
        path = tmp_path / f"data{suffix}"
        if suffix == ".npy":
            path.write_bytes(whole)
        else:
            _zip(path, a=whole, b=whole)
        refused_or_read(path)
    assert not Path("trapped").exists()


def _zip(path: Path, **arrays: bytes) -> None:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)


def test_a_pickle_is_refused_whatever_its_suffix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for suffix in SUFFIXES:
        path = tmp_path / f"data{suffix}"
        path.write_bytes(pickle.dumps(Trap()))
        with pytest.raises(DescentbenchError):
            load(path)
    assert not Path("trapped").exists()


# the command line


OPTIONS = sorted(
    {
        option
        for name in COMMANDS
        for parameter in main.get_command(None, name).params  # type: ignore[arg-type,union-attr]
        for option in parameter.opts
        if option.startswith("-")
    }
)

WORDS = st.sampled_from(
    [
        *("0", "-1", "3", "1e3", "1e400", "nan", "-inf", "1_000", "１２", "0x10", "1.5", "10%"),
        *("numpy", "numpy*", "*", "[", "numpy:x", "numpy@", "@cpu", "read", "cuda:0", ""),
        *("float32", "csv", "json", "auto", "random", "1,2", ",", "64GB", "-5GB", "svg"),
        *("data.csv", "data.npy", "result.json", "nowhere/x.html", "folder", ".", "a" * 300),
        *("--", "-", "=", "\udcff", "\x1b[2J", "💥"),
    ]
)


class EnoughError(DescentbenchError):
    """Raised in place of measuring, after the arguments were accepted."""


@pytest.fixture
def idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with some files; commands raise `EnoughError` instead of measuring."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "data.csv").write_bytes(saved(".csv"))
    (tmp_path / "data.npy").write_bytes(b"no array")
    RIGHT.save(tmp_path / "result.json")

    def enough(*_: object, **__: object) -> None:
        raise EnoughError("enough")

    monkeypatch.setattr(measure, "side_by_side", enough)
    monkeypatch.setattr(explorer.Explorer, "explore", enough)
    monkeypatch.setattr(threads, "apply", lambda count=None: count or 1)
    return tmp_path


@hostile
@given(
    command=st.sampled_from([*COMMANDS, "nonsense"]),
    arguments=st.lists(WORDS | st.sampled_from(OPTIONS), max_size=6),
    encoding=st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "koi8-r", "cp437"]),
    width=st.sampled_from(["", "0", "1", "24", "40", "66", "80", "250"]),
)
def test_any_command_line_ends_well_or_in_a_line(
    idle: Path, command: str, arguments: list[str], encoding: str, width: str
) -> None:
    runner = CliRunner(charset=encoding, env={"COLUMNS": width})
    result = runner.invoke(main, [command, *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), arguments
    assert result.exit_code in (0, 1, 2)
    if result.exit_code == 2:
        (line,) = result.stderr.splitlines()
        assert line.startswith("descentbench: ")
