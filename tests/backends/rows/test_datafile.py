"""Test reading of data files: the data are read correctly, or the error is one line."""

import csv
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from backends.errors import MissingLibraryError, ProblemError
from backends.problem import Problem
from backends.rows.datafile import load
from backends.rows.discover import FORMATS

SUFFIXES = (".csv", ".npy", ".npz", ".parquet", ".arrow")
"""Suffixes of the formats that can be read."""

OF_ARROW = (".parquet", ".arrow")
"""Suffixes of the formats that pyarrow writes; these files have the machine's byte order."""

ROWS = np.array([[1.0, 10.0, 5.0], [2.0, 20.0, 6.0], [3.0, 30.0, 7.0], [4.0, 40.0, 8.0]])

files = settings(
    deadline=None,
    max_examples=50,
    # Every example overwrites the file of the one before.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def write(path: Path, table: np.ndarray, names: list[str]) -> Path:
    """Write a table in the format of the file's suffix, independently of the tested code."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            writer.writerows(table.tolist())
    elif path.suffix == ".npy":
        np.save(path, table)
    elif path.suffix == ".npz":
        np.savez(path, **dict(zip(names, table.T, strict=True)))
    elif path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table(dict(zip(names, table.T, strict=True))), path)
    elif path.suffix == ".arrow":
        pa = pytest.importorskip("pyarrow")
        columns = pa.table(dict(zip(names, table.T, strict=True)))
        with pa.ipc.new_file(str(path), columns.schema) as file:
            file.write_table(columns)
    else:
        raise ValueError(f"the tests cannot write {path.suffix}")
    return path


def text(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(folder: Path, **columns: object) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = folder / "data.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def refusal(path: Path, *args: object, **kwargs: object) -> str:
    """Return the one-line error of loading a file, without the file's name."""
    with pytest.raises(ProblemError) as caught:
        load(path, *args, **kwargs)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line.removeprefix(f"{path}: ")


def outcome(path: Path) -> Problem | str:
    try:
        return load(path)
    except ProblemError as error:
        return str(error)


def holds(problem: Problem, x: np.ndarray, y: np.ndarray) -> None:
    np.testing.assert_array_equal(problem.x, x)
    np.testing.assert_array_equal(problem.y, y)


# What is read


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(
        st.sampled_from(["f2", "f4", "f8", ">f4", ">f8", "i1", "i4", ">i8", "u2", "u8"])
    )
    elements = {"allow_nan": False, "allow_infinity": False} if "f" in dtype else {}
    values = npst.arrays(
        dtype,
        st.tuples(st.integers(1, 30), st.integers(2, 5)),
        elements=npst.from_dtype(np.dtype(dtype), **elements),
    )
    return np.asarray(draw(values), order=draw(st.sampled_from("CF")))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@files
@given(table=tables())
def test_a_table_comes_back_as_it_was_saved(suffix, dtype, table, tmp_path):
    read = table.astype(np.float64) if suffix == ".csv" else table  # text is read as float64
    with np.errstate(over="ignore"):
        expected = read.astype(dtype)
    native = table.astype(table.dtype.newbyteorder("="))  # Arrow has only this byte order
    path = tmp_path / f"data{suffix}"
    write(
        path,
        native if suffix in OF_ARROW else table,
        list("abcde")[: table.shape[1]],
    )

    if not np.isfinite(expected).all():
        assert "too large for float32" in refusal(path, dtype=dtype)
        return
    problem = load(path, dtype=dtype)
    holds(problem, expected[:, 0] if table.shape[1] == 2 else expected[:, :-1], expected[:, -1])
    assert problem.dtype == dtype
    assert problem.x.flags.c_contiguous
    assert problem.y.flags.c_contiguous


@pytest.mark.parametrize("suffix", SUFFIXES)
@files
@given(data=st.data())
def test_any_choice_of_columns_is_kept_in_its_order(suffix, data, tmp_path):
    table = np.arange(35.0).reshape(7, 5) ** 2
    names = list("01234") if suffix == ".npy" else ["a b", "é", 'q"', "x,y", "last.one"]
    order = data.draw(st.permutations(range(5)))[: data.draw(st.integers(2, 5))]
    path = write(tmp_path / f"data{suffix}", table, names)

    problem = load(path, x=[names[i] for i in order[1:]], y=names[order[0]])

    holds(
        problem,
        table[:, order[1:]].squeeze(axis=1) if len(order) == 2 else table[:, order[1:]],
        table[:, order[0]],
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_y_or_only_x_leaves_the_default_for_the_other(suffix, tmp_path):
    names = list("012") if suffix == ".npy" else list("abc")
    path = write(tmp_path / f"data{suffix}", ROWS, names)
    holds(load(path, y=names[0]), ROWS[:, 1:], ROWS[:, 0])
    holds(load(path, x=[names[1]]), ROWS[:, 1], ROWS[:, 2])


def test_the_source_names_the_file_and_what_was_chosen(tmp_path):
    path = write(tmp_path / "houses.csv", ROWS, ["area", "rooms", "price"])
    assert load(path).source == "houses.csv: 'price' from 'area', 'rooms'"
    assert load(path, x=["price"], y="rooms").source == "houses.csv: 'rooms' from 'price'"


def test_one_column_of_x_may_be_a_string(tmp_path):
    path = write(tmp_path / "houses.csv", ROWS, ["area", "rooms", "price"])
    holds(load(str(path), x="rooms"), ROWS[:, 1], ROWS[:, 2])


def test_a_long_listing_is_cut(tmp_path):
    path = tmp_path / "wide.npy"
    np.save(path, np.ones((2, 41)))
    assert load(path).source.endswith("'8', '9' and 30 more")


def test_more_rows_than_a_block(tmp_path):
    table = np.random.default_rng(0).random((10_001, 3), np.float32)
    path = tmp_path / "long.npy"
    np.save(path, table)
    holds(load(path), table[:, :2], table[:, 2])


def test_the_problem_does_not_change_with_the_file(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, ROWS.astype(np.float32))
    problem = load(path)
    np.lib.format.open_memmap(path, mode="r+")[:] = 0
    holds(problem, ROWS[:, :2], ROWS[:, 2])


def test_the_suffix_may_be_upper_case(tmp_path):
    holds(load(text(tmp_path, "1,2\n3,4\n", "DATA.CSV")), [1, 3], [2, 4])


# CSV


@pytest.mark.parametrize(
    "content",
    [
        "a,b,c\n1,2,3\n4,5,6\n",
        "a,b,c\n1,2,3\n4,5,6",
        "a,b,c\r\n1,2,3\r\n4,5,6\r\n",
        "a,b,c\r1,2,3\r4,5,6\r",
        "\ufeffa,b,c\n1,2,3\n4,5,6\n",
        "\n\na,b,c\n\n1,2,3\n\n\n4,5,6\n\n",
        " a , b, c\n 1 ,2.0, 3\n4e0,\t5,+6.\n",
        '"a","b","c"\n"1",2,"3"\n4,"5",6\n',
        '"a","two\nlines",c\n1,2,3\n4,5,6\n',
        "a,1,2\n1,2,3\n4,5,6\n",
        "1,2,3\n4,5,6\n",
        "\n1,2,3\n4,5,6\n",
        "\ufeff1,2,3\n4,5,6\n",
    ],
)
def test_csv_dialects(tmp_path, content):
    holds(load(text(tmp_path, content)), [[1, 2], [4, 5]], [3, 6])


def test_spaces_around_a_name_in_a_header_do_not_count(tmp_path):
    holds(load(text(tmp_path, "a, b ,c\n1,2,3\n"), x=["c"], y="b"), [3], [2])


def test_columns_of_a_csv_without_a_header_are_called_by_position(tmp_path):
    holds(load(text(tmp_path, "1,2,3\n4,5,6\n"), x=["2"], y="0"), [3, 6], [1, 4])


def test_text_in_a_column_that_is_not_chosen_does_not_matter(tmp_path):
    path = text(tmp_path, 'id,a,note,b\nk1,1,"x, y\nz",2\n,3,#,4\nñ☃,5,,6\n')
    holds(load(path, x=["a"], y="b"), [1, 3, 5], [2, 4, 6])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2\n3,4x\n", "line 3 (row 2), column 'b': '4x' is not a number"),
        ("a,b\n\n1,2\n\n,4\n", "line 5 (row 2), column 'a': empty cell"),
        ("1,2\nN/A,4\n", "line 2 (row 2), column '0': 'N/A' is not a number"),
        ("a,b\n1_000,2\n", "'1_000' is not a number"),
        ("a,b\n１,2\n", "'１' is not a number"),
        ("a,b\n0x10,2\n", "'0x10' is not a number"),
        ('a,b\n1,2\n"1,5",4\n', "line 3 (row 2), column 'a': '1,5' is not a number"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 cell(s), the first line has 2"),
        ("a,b,c\n1,2,3\n4,5\n", "line 3 has 2 cell(s), the first line has 3"),
        ("1,2\n3\n4,5\n", "line 2 has 1 cell(s), the first line has 2"),
        ("a,b\n1,2\n   \n", "line 3 has 1 cell(s), the first line has 2"),
        ("a/b\n1/2\n", "x and y need a column each; there is 'a/b'"),
        ("a\n1\n", "x and y need a column each; there is 'a'"),
        ("1\n2\n", "x and y need a column each; there is '0'"),
        ("a,b\n", "no rows"),
        ("a,b\n\n\n", "no rows"),
        ("", "the file is empty"),
        ("\n\n\n", "only blank lines"),
        ("\ufeff", "only blank lines"),
        ("a,b\n1,2\n3,nan\n", "y holds nan in row 2"),
        ("a,b\n1,2\n-inf,4\n", "x holds -inf in row 2"),
        ("a,b\n1,2\n3,4\n1e39,4\n", "1e+39 in row 3 is too large for float32"),
        ("a,b,a\n1,2,3\n", "2 columns are named 'a'"),
        ("a,b\n" + "9" * 200_000 + "z,2\n", "cannot be read as .csv: field larger than"),
    ],
)
def test_csv_refusals(tmp_path, content, words):
    assert words in refusal(text(tmp_path, content))


def test_a_ragged_row_is_refused_even_beside_the_chosen_columns(tmp_path):
    path = text(tmp_path, "a,b,note\n1,2,x\n3,4,x,y\n")
    assert "line 3 has 4 cell(s)" in refusal(path, x=["a"], y="b")


def test_a_long_cell_is_cut(tmp_path):
    assert len(refusal(text(tmp_path, "a,b\n1,2\n1," + "z" * 5000 + "\n"))) < 100


@pytest.mark.parametrize("before", [0, 5, 50_000])
def test_bytes_that_are_not_utf_8_are_found(tmp_path, before):
    path = text(tmp_path, b"a,b\n" + b"1,2\n" * before + b"3,\xff4\n")
    assert f"line {before + 2} is not UTF-8 text (byte 0xff)" in refusal(path)


def test_utf_16_is_refused(tmp_path):
    assert "line 1 is not UTF-8" in refusal(text(tmp_path, "a,b\n1,2\n".encode("utf-16")))


def test_float64_holds_what_is_too_large_for_float32(tmp_path):
    holds(load(text(tmp_path, "1,2\n1e39,4\n"), dtype="float64"), [1, 1e39], [2, 4])


# npy and npz


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.ones(5), "2-D, rows × columns, not (5,)"),
        (np.ones(()), "2-D, rows × columns, not ()"),
        (np.ones((2, 3, 4)), "2-D, rows × columns, not (2, 3, 4)"),
        (np.ones((5, 1)), "there is '0'"),
        (np.ones((5, 0)), "there is none"),
        (np.ones((0, 3)), "no rows"),
        (np.ones((5, 2), complex), "holds complex128; only integers and floats"),
        (np.full((5, 2), "1"), "holds <U1"),
        (np.ones((5, 2), "M8[s]"), "holds datetime64[s]"),
        (np.ones((5, 2), [("a", "f4")]), "a structured array must be 1-D, not (5, 2)"),
        (np.where(np.eye(5, 3, -3), np.inf, 1.0), "x holds inf in row 4, column 1"),
    ],
)
def test_npy_refusals(tmp_path, array, words):
    np.save(tmp_path / "data.npy", array)
    assert words in refusal(tmp_path / "data.npy")


def test_a_too_large_value_is_found_beyond_the_first_block(tmp_path):
    table = np.ones((9_000, 3))
    table[7_000, 1] = -1e200
    np.save(tmp_path / "data.npy", table)
    assert "-1e+200 in row 7001 is too large" in refusal(tmp_path / "data.npy")


@pytest.mark.parametrize("x", [ROWS[:, 0], ROWS[:, :1], ROWS[:, :2], ROWS])
def test_an_npz_with_x_and_y_gives_these(tmp_path, x):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, y=ROWS[:, 2], w=ROWS[:, 0], x=x, seed=np.int64(7))
    expected = x[:, 0] if x.shape[1:] == (1,) else x
    holds(load(path), expected, ROWS[:, 2])
    holds(load(path, y="w"), expected, ROWS[:, 0])
    holds(load(path, x=["w"]), ROWS[:, 0], ROWS[:, 2])


def test_a_wide_array_may_stand_beside_others(tmp_path):
    np.savez(tmp_path / "data.npz", wide=ROWS[:, :2], a=ROWS[:, 0], y=ROWS[:, 2])
    problem = load(tmp_path / "data.npz", x=["a", "wide"])
    holds(problem, ROWS[:, [0, 0, 1]], ROWS[:, 2])


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "there is none"),
        ({"x": ROWS}, "there is 'x'"),
        ({"x": ROWS, "y": ROWS}, "column 'y' has shape (4, 3)"),
        ({"x": ROWS, "y": ROWS[:3, 0]}, "column 'x' has 4 rows but 'y' has 3"),
        ({"x": np.ones((4, 2, 2)), "y": np.ones(4)}, "column 'x' has shape (4, 2, 2)"),
        ({"x": np.ones((4, 0)), "y": np.ones(4)}, "column 'x' has shape (4, 0)"),
        ({"x": np.float64(1), "y": np.ones(4)}, "column 'x' has shape ()"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, "no rows"),
        ({"a": np.ones(2), "b": np.array([1, 1j])}, "column 'b' holds complex128"),
        ({"a": np.array(["1", "2"]), "b": np.ones(2)}, "column 'a' holds <U1"),
        ({"a": np.array([1, None]), "b": np.ones(2)}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_refusals(tmp_path, arrays, words):
    np.savez(tmp_path / "data.npz", **arrays)
    assert words in refusal(tmp_path / "data.npz")


def test_a_member_of_an_npz_that_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name in ("a", "b"):
            archive.writestr(name, "1 2 3")
    assert "column 'a' holds |S5" in refusal(tmp_path / "data.npz")


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, bait: Path) -> None:
        self.bait = bait

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.bait,)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("bare", [True, False])
def test_nothing_in_a_file_is_run(tmp_path, suffix, bare):
    bait, path = tmp_path / "bait", tmp_path / f"data{suffix}"
    array = np.full((2, 2), Trap(bait), dtype=object)
    if bare:
        path.write_bytes(pickle.dumps(array))
    elif suffix == ".npy":
        np.save(path, array)
    else:
        np.savez(path, x=array, y=np.ones(2))
    refusal(path)
    assert not bait.exists()
    with path.open("rb") as file:  # the trap works if numpy may unpickle
        found = np.load(file, allow_pickle=True)
        _ = found["x"] if suffix == ".npz" and not bare else found
    assert bait.exists()


def test_an_object_array_is_refused_by_name(tmp_path):
    np.save(tmp_path / "data.npy", np.array([[1, None]]))
    assert "Python objects" in refusal(tmp_path / "data.npy")


# Parquet


@pytest.mark.parametrize("hole", [0, 3, 6])
@pytest.mark.parametrize("kind", ["int32", "float64"])
def test_a_null_is_found_in_its_row(tmp_path, hole, kind):
    pa = pytest.importorskip("pyarrow")
    values = [None if i == hole else i for i in range(7)]
    column = pa.chunked_array([values[:2], values[2:]], type=kind)
    path = parquet(tmp_path, a=column, b=np.ones(7))
    assert f"column 'a' holds a null in row {hole + 1}" in refusal(path)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["1", "2"], "column 'a' holds string"),
        ([[1], [2]], "column 'a' holds list<"),
        ([{"b": 1}, {"b": 2}], "column 'a' holds struct<"),
        ([None, None], "column 'a' holds null"),
        ([1.0, float("nan")], "x holds nan in row 2"),
    ],
)
def test_parquet_refusals(tmp_path, values, words):
    assert words in refusal(parquet(tmp_path, a=values, y=[1.0, 2.0]))


def test_other_columns_of_a_parquet_do_not_matter(tmp_path):
    path = parquet(tmp_path, name=["p", "q"], a=[1, 2], gap=[None, 1], b=[3.0, 4.0])
    holds(load(path, x=["a"]), [1, 2], [3, 4])


def test_a_parquet_of_several_row_groups(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    a = np.arange(100)
    pq.write_table(pa.table({"a": a, "b": a * 2}), tmp_path / "data.parquet", row_group_size=7)
    holds(load(tmp_path / "data.parquet"), a, 2 * a)


def test_a_parquet_without_rows_or_columns(tmp_path):
    assert "no rows" in refusal(parquet(tmp_path, a=np.ones(0), b=np.ones(0)))
    assert "there is none" in refusal(parquet(tmp_path))


def test_duplicate_parquet_columns_are_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "a", "b"])
    pq.write_table(table, tmp_path / "data.parquet")
    assert "2 columns are named 'a'" in refusal(tmp_path / "data.parquet")


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = text(tmp_path, "PAR1", "data.parquet")
    for module in ("pyarrow", "pyarrow.types", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingLibraryError, match="pip install pyarrow"):
        load(path)


def test_pyarrow_is_imported_for_parquet_only(tmp_path):
    path = write(tmp_path / "data.csv", ROWS, list("abc"))
    code = (
        f"import sys; from backends.rows.datafile import load; load({str(path)!r}); "
        "assert 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Whatever the format


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestAnyFormat:
    def test_a_missing_file(self, suffix, tmp_path):
        assert refusal(tmp_path / f"none{suffix}") == "there is no such file"

    def test_a_directory(self, suffix, tmp_path):
        folder = tmp_path / f"data{suffix}"
        folder.mkdir()
        assert refusal(folder) == "is a directory without any data file"

    def test_an_empty_file(self, suffix, tmp_path):
        assert refusal(text(tmp_path, "", f"data{suffix}")) == "the file is empty"

    def test_a_file_that_is_something_else(self, suffix, tmp_path):
        assert refusal(text(tmp_path, b"\x89PNG\r\n\x1a\n" * 9, f"data{suffix}"))

    @pytest.mark.parametrize(
        ("x", "y", "words"),
        [
            (["nope"], None, "there is no column 'nope', only "),
            (None, "nope", "there is no column 'nope', only "),
            (["11", "10"], "10", "column '10' cannot be both x and y"),
            (["10", "11", "10"], "12", "x names column '10' 2 times"),
            ([], None, "x needs at least one column"),
        ],
    )
    def test_a_choice_that_cannot_be(self, suffix, x, y, words, tmp_path):
        table, path = np.ones((2, 13)), tmp_path / f"data{suffix}"
        if suffix == ".csv":
            np.savetxt(path, table, delimiter=",")
        else:
            write(path, table, [str(i) for i in range(13)])
        assert words in refusal(path, x, y)

    def test_x_alone_may_not_take_the_default_y(self, suffix, tmp_path):
        names = list("012") if suffix == ".npy" else list("abc")
        path = write(tmp_path / f"data{suffix}", ROWS, names)
        assert f"column {names[2]!r} cannot be both x and y" in refusal(path, [names[2]])


def test_the_columns_there_are_and_the_nearest_are_named(tmp_path):
    path = write(tmp_path / "data.csv", ROWS, ["area", "rooms", "price"])
    assert refusal(path, y="prize") == (
        "there is no column 'prize', only 'area', 'rooms', 'price'; did you mean 'price'?"
    )
    assert refusal(path, y="qqq").endswith("only 'area', 'rooms', 'price'")


@pytest.mark.parametrize("name", ["data.json", "data.xlsx", "data.c"])
def test_an_unknown_suffix(tmp_path, name):
    line = refusal(text(tmp_path, "1,2\n", name))
    assert line.startswith(f"unknown suffix {Path(name).suffix!r}; there are .csv (")
    assert line.endswith("; save the sheet as CSV") == (name == "data.xlsx")


@pytest.mark.parametrize("dtype", ["float16", "int32", "nonsense"])
def test_an_unknown_dtype(tmp_path, dtype):
    path = write(tmp_path / "data.csv", ROWS, list("abc"))
    with pytest.raises(ProblemError, match=f"float32 or float64, not {dtype}"):
        load(path, dtype=dtype)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(files, max_examples=100)
@given(data=st.data())
def test_a_damaged_file_gives_a_problem_or_one_line(suffix, data, tmp_path):
    whole = write(tmp_path / f"whole{suffix}", ROWS, list("abc")).read_bytes()
    at = st.integers(0, len(whole) - 1)
    if data.draw(st.booleans(), "truncate"):
        damaged = whole[: data.draw(at)]
    else:
        changed = bytearray(whole)
        for position in data.draw(st.lists(at, min_size=1, max_size=4)):
            changed[position] ^= data.draw(st.integers(1, 255))
        damaged = bytes(changed)
    path = text(tmp_path, damaged, f"damaged{suffix}")
    result = outcome(path)
    assert isinstance(result, Problem) or len(result.splitlines()) == 1


@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".csv"])
def test_no_truncated_binary_file_passes_for_whole(suffix, tmp_path):
    whole = write(tmp_path / f"whole{suffix}", ROWS, list("abc")).read_bytes()
    for end in range(0, len(whole), 3):
        refusal(text(tmp_path, whole[:end], f"cut{suffix}"))


@files
@given(content=st.binary(max_size=60) | st.text('0123456789.,-e\n\r"ab \t#', max_size=60))
def test_any_bytes_as_csv_give_a_problem_or_one_line(content, tmp_path):
    path = text(tmp_path, content)
    result = outcome(path)
    assert isinstance(result, Problem) or len(result.splitlines()) == 1


def test_a_format_without_a_reader_is_not_opened_as_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed bug: a file whose format has no reader was opened as an Arrow file."""
    monkeypatch.setitem(cast("dict[str, str]", FORMATS), ".sas", "sas")
    file = tmp_path / "rows.sas"
    file.write_bytes(b"1 2 3")
    with pytest.raises(ProblemError, match="unreachable, but got: 'sas'"):
        load(file)
