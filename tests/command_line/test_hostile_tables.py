"""Test random tables in text files of any dialect: read correctly, or with a message.

Each test tries 200 tables; ``nox -s fuzz`` tries 10,000.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.errors import ProblemError
from backends.rows import text
from backends.rows.datafile import open_source
from backends.rows.reading import Reading

hostile = settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

VALUES = st.sampled_from([0.0, 1.0, 2.0, -3.0, 0.5, 1.25, 1234.5, -0.001, 1e6, 2024.0, 7.0])
NAMES = ["a", "b c", "Größe", "x,y", "p;q", "#n", "na", "1st", "2019", "7", 'q"t', "t\tu", "|"]


@dataclass(frozen=True)
class Written:
    """A text file with a table, and how the table must be read."""

    content: str
    table: np.ndarray
    names: list[str] | None
    index: int
    hole: bool
    reading: Reading


@st.composite
def written(draw: st.DrawFn) -> Written:
    """Draw a table with its dialect and header, sometimes with an index or a missing value."""
    columns, rows = draw(st.integers(2, 4)), draw(st.integers(2, 6))
    table = np.array(draw(st.lists(VALUES, min_size=rows * columns, max_size=rows * columns)))
    table = table.reshape(rows, columns)
    delimiter = draw(st.sampled_from([",", ";", "\t", "|"]))
    decimal = "." if delimiter == "," else draw(st.sampled_from([".", ","]))
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoted = draw(st.sampled_from(["never", "names", "all"]))
    kind = draw(st.sampled_from(["none", "names", "0, 1, 2", "years"]))
    index = draw(st.sampled_from([0, 0, 1])) if kind == "names" else 0
    names = None
    if kind == "names":
        names = draw(st.permutations(NAMES))[:columns]
    elif kind != "none":
        names = [str(j + 2019 * (kind == "years")) for j in range(columns)]
    cells = [[number(value, decimal, draw) for value in row] for row in table.tolist()]
    hole = draw(st.sampled_from([False, False, True]))
    if hole:
        at = draw(st.integers(0, rows - 1)), draw(st.integers(0, columns - 1))
        cells[at[0]][at[1]] = draw(st.sampled_from(["", "NA", "?", "nan", "NULL", "#N/A"]))
        table[at] = np.nan
    cells = [[str(k)] * index + row for k, row in enumerate(cells)]
    header = [] if names is None else [[""] * index + list(names)]

    def line(row: list[str], quote: bool) -> str:
        odd = set('"#' + delimiter)
        return delimiter.join(
            '"' + cell.replace('"', '""') + '"' if quote or odd.intersection(cell) else cell
            for cell in row
        )

    lines = [line(row, quoted != "never") for row in header]
    lines += [line(row, quoted == "all") for row in cells]
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), "# a note")
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), "")
    content = draw(st.sampled_from(["", "\ufeff"])) + newline.join(lines)
    content += draw(st.sampled_from(["", newline]))
    reading = Reading(header=names is not None, delimiter=delimiter, decimal=decimal)
    return Written(content, table, names, index, hole, reading)


def number(value: float, decimal: str, draw: st.DrawFn) -> str:
    style = draw(st.sampled_from(["{:.10g}", "{:.3f}", "{:e}"]))
    written = style.format(value).replace(".", decimal)
    return f" {written} " if draw(st.integers(0, 9)) == 0 else written


def one_line(path: Path, error: str) -> str:
    assert len(error.splitlines()) == 1
    assert error.startswith(str(path))
    return error


def read(path: Path, reading: Reading) -> tuple[np.ndarray, tuple[str, ...]] | str:
    try:
        source = open_source(path, dtype="float64", reading=reading)
    except ProblemError as error:
        return one_line(path, str(error))
    problem = source.load()
    assert source.origin is not None
    return np.column_stack([problem.x, problem.y]), source.origin.notes


@hostile
@given(file=written())
def test_a_table_is_read_right_or_not_without_a_word(tmp_path: Path, file: Written) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(file.content.encode())
    found = read(path, Reading())
    if file.hole:  # an error, or a message about the first line
        assert isinstance(found, str) or found[1], file.content
    elif not isinstance(found, str):
        values, notes = found
        assert notes or np.array_equal(values, file.table), file.content


@hostile
@given(file=written(), drop=st.booleans())
def test_a_table_is_read_right_when_told_how(tmp_path: Path, file: Written, drop: bool) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(file.content.encode())
    told = file.reading
    found = read(path, Reading(told.header, told.delimiter, told.decimal,
                               na="drop" if drop else "error"))  # fmt: skip
    complete = file.table[~np.isnan(file.table).any(axis=1)]
    if file.hole and not drop:
        assert isinstance(found, str), file.content
    else:
        assert not isinstance(found, str), (file.content, found)
        np.testing.assert_array_equal(found[0], complete, file.content)


@hostile
@given(file=written(), drop=st.booleans())
def test_pyarrow_and_numpy_read_a_table_as_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Written, drop: bool
) -> None:
    pytest.importorskip("pyarrow.csv")
    path = tmp_path / "data.csv"
    path.write_bytes(file.content.encode())
    reading = Reading(na="drop" if drop else "error")
    both = []
    with monkeypatch.context() as patch:
        for least, numpy_alone in ((1 << 30, False), (0, False), (0, True)):
            patch.setattr(text, "FAST_BYTES", least)
            if numpy_alone:
                patch.setitem(sys.modules, "pyarrow", None)
            both.append(read(path, reading))
    assert isinstance(both[2], str) == isinstance(both[0], str), file.content
    if isinstance(both[0], str) or isinstance(both[1], str):
        assert both[0] == both[1], file.content
    else:
        for other in both[1:]:
            np.testing.assert_array_equal(both[0][0], other[0], file.content)
            assert both[0][1] == other[1], file.content


FOLDERS = st.lists(
    st.sampled_from(["year=2024", "year=2023", "kind=a", "sub", ".git", "_temporary", "_x=1"]),
    max_size=2,
    unique_by=lambda name: name.partition("=")[0],
)
FILES = st.sampled_from(
    ["part-0.parquet", "part-1.pq", ".part-0.parquet", "_metadata.parquet", "a=1.parquet"]
)


@hostile
@given(paths=st.lists(st.tuples(FOLDERS, FILES), min_size=1, max_size=4, unique_by=str))
def test_a_folder_has_the_files_that_pyarrow_finds(
    tmp_path: Path, paths: list[tuple[list[str], str]]
) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    dataset = pytest.importorskip("pyarrow.dataset")
    base = tmp_path / "data"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir()
    for k, (folders, name) in enumerate(paths):
        folder = base.joinpath(*folders)
        folder.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pyarrow.table({"a": [k, k + 0.5], "y": [1.0, 2.0]}), folder / name)
    (base / "_SUCCESS").touch()
    whole = dataset.dataset(base, format="parquet", partitioning="hive")
    found = read(base, Reading())
    if isinstance(found, str):
        assert not whole.files or "in folders that add different columns" in found, found
        return
    source = open_source(base)
    assert source.origin is not None
    assert set(source.origin.files) == set(whole.files)
    table = whole.to_table(columns=["a", "y"])
    expected = sorted(zip(*(table[name].to_pylist() for name in ("a", "y")), strict=True))
    np.testing.assert_array_equal(found[0][np.argsort(found[0][:, 0])], expected)
    keys = [dataset.get_partition_keys(f.partition_expression) for f in whole.get_fragments()]
    named = set(itertools.chain.from_iterable(keys))
    if "year" in named:
        years = open_source(base, x=["year"]).load().x
        assert sorted(years) == sorted(float(k["year"]) for k in keys for _ in range(2))
