"""Test files that other programs write: they are read, or an error says what to do."""

from __future__ import annotations

import bz2
import decimal
import gzip
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

from backends.errors import MissingLibraryError, ProblemError
from backends.problem import step_bytes
from backends.rows import text as text_files
from backends.rows.datafile import load, open_source
from backends.rows.reading import Reading
from backends.rows.text import TextFile

A, B, Y = [1.5, 2.25, -3.0], [1000.0, 20.0, 1234567.0], [0.5, 1.0, 1e6]

TABLE = {
    "pandas": "a,b,y\n1.5,1000.0,0.5\n2.25,20.0,1.0\n-3.0,1234567.0,1000000.0\n",
    "pandas with its index": ",a,b,y\n0,1.5,1000,0.5\n1,2.25,20,1\n2,-3,1234567,1e6\n",
    "pandas, tabs": "a\tb\ty\n1.5\t1000\t0.5\n2.25\t20\t1\n-3\t1234567\t1e6\n",
    "polars": "a,b,y\n1.5,1e3,0.5\n2.25,20.0,1.0\n-3.0,1.234567e6,1e6\n",
    "R, write.csv": '"","a","b","y"\n"1",1.5,1000,0.5\n"2",2.25,20,1\n"3",-3,1234567,1e+06\n',
    "R, write.csv2": '"";"a";"b";"y"\n"1";1,5;1000;0,5\n"2";2,25;20;1\n"3";-3;1234567;1e+06\n',
    "R, write.table": '"a" "b" "y"\n"1" 1.5 1000 0.5\n"2" 2.25 20 1\n"3" -3 1234567 1e+06\n',
    "Excel, German": "\ufeffa;b;y\r\n1,5;1000;0,5\r\n2,25;20;1\r\n-3;1234567;1000000\r\n",
    "Excel, German, grouped": "a;b;y\n1,5;1.000,00;0,5\n2,25;20;1\n-3;1.234.567;1000000\n",
    "Excel, sep=": "sep=|\r\na|b|y\r\n1.5|1000|0.5\r\n2.25|20|1\r\n-3|1234567|1000000\r\n",
    "Excel, grouped": 'a,b,y\n1.5,"1,000",0.5\n2.25,20,1\n-3,"1,234,567","1,000,000"\n',
    "DuckDB": "a|b|y\n1.5|1000.0|0.5\n2.25|20.0|1.0\n-3.0|1234567.0|1000000.0\n",
    "numpy.savetxt": "# a b y\n1.5e+00 1e+03 5e-01\n2.25 2e+01 1e+00\n-3.0 1234567.0 1e+06\n",
    "gnuplot": "# by hand\n#\n1.5  1000 0.5\n2.25   20   1\n# a pause\n-3 1234567 1e6\n",
    "comments": "# by hand\na,b,y\n1.5,1000,0.5\n#1,1,1\n2.25,20,1\n-3,1234567,1e6\n",
    "a comma at each end": "a,b,y,\n1.5,1000,0.5,\n2.25,20,1,\n-3,1234567,1e6,\n",
}

OPTIONS = {"Excel, grouped": Reading(thousands=",")}


@pytest.mark.parametrize("kind", TABLE)
def test_text_as_other_programs_write_it(kind, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(TABLE[kind].encode())
    problem = load(path, dtype="float64", reading=OPTIONS.get(kind))
    np.testing.assert_array_equal(problem.x, np.column_stack([A, B]))
    np.testing.assert_array_equal(problem.y, Y)
    if kind not in ("numpy.savetxt", "gnuplot"):
        return
    names = ["0", "1"] if kind == "gnuplot" else ["a", "b"]
    np.testing.assert_array_equal(load(path, x=names, dtype="float64").x, problem.x)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.bz2", ".tsv.xz", ".csv.zst", ""])
def test_compressed_text(suffix, tmp_path):
    path, content = tmp_path / f"data{suffix}", TABLE["pandas, tabs"].encode()
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    if path.suffix == ".zst":
        pyarrow = pytest.importorskip("pyarrow")
        with pyarrow.output_stream(str(path), compression="zstd") as file:
            file.write(content)
    else:
        path.write_bytes(pack.get(path.suffix, gzip.compress)(content))
    np.testing.assert_array_equal(load(path, dtype="float64").y, Y)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252", "utf-8"])
def test_other_encodings(encoding, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes("größe,preis\n1,2\n3,4\n".encode(encoding))
    if encoding != "utf-8":
        with pytest.raises(
            ProblemError, match=r"line 1 is not UTF-8 .* --encoding (utf-16|lat)"
        ):
            load(path)
    problem = load(path, x=["größe"], reading=Reading(encoding=encoding))
    np.testing.assert_array_equal(problem.x, [1, 3])


def test_frames_of_pandas_and_polars(tmp_path):
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": A, "b": B, "y": Y})
    frame.to_parquet(tmp_path / "pandas.parquet")
    frame.to_feather(tmp_path / "pandas.feather")
    other = polars.DataFrame({"a": A, "b": B, "y": Y})
    other.write_parquet(tmp_path / "polars.parquet")
    other.write_ipc(tmp_path / "polars.arrow")
    other.write_ipc(tmp_path / "polars.ipc", compression="lz4")
    other.write_csv(tmp_path / "polars.csv")
    np.save(tmp_path / "records.npy", frame.to_records(index=False))
    for path in sorted(tmp_path.iterdir()):
        problem = load(path, dtype="float64")
        np.testing.assert_array_equal(problem.x, np.column_stack([A, B]), str(path))
        np.testing.assert_array_equal(problem.y, Y, str(path))


def test_truth_and_decimals_are_numbers(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    feather = pytest.importorskip("pyarrow.feather")
    price = [decimal.Decimal("1.25"), decimal.Decimal("-2.50")]
    table = pyarrow.table({"new": [True, False], "price": price, "y": [1, 2]})
    parquet.write_table(table, tmp_path / "data.parquet")
    feather.write_feather(table, tmp_path / "data.feather")
    (tmp_path / "data.csv").write_text("new,price,y\nTrue,1.25,1\nFALSE,-2.50,2\n")
    kinds = [("new", "?"), ("price", "f4"), ("y", "u1")]
    np.save(tmp_path / "data.npy", np.array([(True, 1.25, 1), (False, -2.5, 2)], kinds))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(load(path).x, [[1, 1.25], [0, -2.5]], str(path))
    np.save(tmp_path / "data.npy", np.array([[True, False], [False, True]]))
    np.testing.assert_array_equal(load(tmp_path / "data.npy").x, [1, 0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,y\n1,2\n,4\n", "line 3 (row 2), column 'a': empty cell; fill it in, or leave out"),
        ("a,y\n1,2\nNA,4\n", "'NA' is not a number; fill it in, or leave out such rows with"),
        ('a,y\n"1,5",2\n', "'1,5' is not a number; if it is a number, add --decimal ','"),
        ('a,y\n"1,234.5",2\n', "if it is a number, add --thousands ','"),
        ('a,y\n"1.234,5",2\n', "if it is a number, add --decimal ',' --thousands '.'"),
        ("a,y\n1'234,2\n", 'add --thousands "\'"'),
        ("a,y\n12%,2\n", "line 2 (row 1), column 'a': '12%' is not a number"),
        ('a,y\n1,2\n"3"4,5\n', "cannot be read as .csv: ',' expected after '\"' (line 3)"),
        ("#only\n#comments\n", "only comments and blank lines"),
        ("a,y\n#1,2\n", "no rows; 1 lines begin with '#'"),
    ],
)
def test_refusals_name_the_remedy(content, words, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(content)
    with pytest.raises(ProblemError) as caught:
        load(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("written", "reading"),
    [
        ("1,5;2", Reading(delimiter=";", decimal=",")),
        ("1.5:2", Reading(delimiter=":")),
        ("1.5 \t 2", Reading(delimiter=" ")),
        ('"1,5",2', Reading(decimal=",")),
        ('"1,500.5",2', Reading(thousands=",")),
        ("1'500.5,2", Reading(thousands="'")),
    ],
)
def test_what_is_said_is_done(written, reading, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text(f"{written}\n{written}\n")
    problem = load(path, reading=reading)
    np.testing.assert_array_equal(problem.x, [1500.5 if "500" in written else 1.5] * 2)
    np.testing.assert_array_equal(problem.y, [2, 2])


# Missing values


def test_rows_that_lack_a_value_are_dropped_and_counted(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    feather = pytest.importorskip("pyarrow.feather")
    (tmp_path / "data.csv").write_text("a,b,y\n1,2,3\nNA,5,6\n7,8,\n9,?,1\n4,5,6\n")
    table = pyarrow.table(
        {"a": [1, None, 7, 9, 4], "b": [2.0, 5, 8, None, 5], "y": [3.0, 6, None, 1, 6]}
    )
    parquet.write_table(table, tmp_path / "data.parquet")
    feather.write_feather(table, tmp_path / "data.feather")
    rows = np.array([[1, 2, 3], [np.nan, 5, 6], [7, 8, np.nan], [9, np.nan, 1], [4, 5, 6.0]])
    np.save(tmp_path / "data.npy", rows)
    np.savez(tmp_path / "data.npz", a=rows[:, 0], b=rows[:, 1], y=rows[:, 2])
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ProblemError):
            load(path)
        source = open_source(path, reading=Reading(na="drop"))
        problem = source.load()
        np.testing.assert_array_equal(problem.x, [[1, 2], [4, 5]], str(path))
        np.testing.assert_array_equal(problem.y, [3, 6], str(path))
        assert source.origin is not None
        assert "3 of 5 rows lack a value and were left out" in source.origin.notes
        one = load(path, x=["0" if path.suffix == ".npy" else "a"], reading=Reading(na="drop"))
        np.testing.assert_array_equal(one.x, [1, 9, 4], str(path))


def test_no_complete_row_is_an_error(tmp_path):
    (tmp_path / "data.csv").write_text("a,y\nNA,1\n2,NA\n")
    with pytest.raises(ProblemError, match="every row lacks a value"):
        load(tmp_path / "data.csv", reading=Reading(na="drop"))


@pytest.mark.parametrize("suffix", [".npy", ".parquet", ".feather"])
def test_any_range_of_complete_rows(suffix, tmp_path, monkeypatch):
    monkeypatch.setattr("backends.rows.combined.CHUNK_ROWS", 97)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1009, 3))
    rows[rng.random(rows.shape) < 0.1] = np.nan
    rows[200:420] = np.nan  # chunks without any complete row
    path = tmp_path / f"data{suffix}"
    if suffix == ".npy":
        np.save(path, rows)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        feather = pytest.importorskip("pyarrow.feather")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table(dict(zip("aby", rows.T, strict=True)))
        if suffix == ".parquet":
            parquet.write_table(table, path, row_group_size=100)
        else:
            feather.write_feather(table, path, chunksize=100)
    expected = rows[~np.isnan(rows).any(axis=1)].astype(np.float32)
    source = open_source(path, reading=Reading(na="drop"))
    assert source.rows == len(expected)
    for start, stop in [
        (0, source.rows),
        (0, 1),
        (100, 101),
        (150, 400),
        (source.rows - 1,) * 2,
    ]:
        stop = max(stop, start + 1)
        blocks = source.blocks(7 * step_bytes(1, 2, "float32"), start, stop)
        seen = [np.column_stack([b.x, b.y]) for b in blocks]
        np.testing.assert_array_equal(
            np.concatenate(seen)[: stop - start], expected[start:stop]
        )


# Two files


@pytest.mark.parametrize("first", [".npy", ".parquet", ".csv"])
@pytest.mark.parametrize("second", [".npy", ".parquet", ".csv", ".feather"])
def test_x_and_y_from_two_files(first, second, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rows = np.random.default_rng(0).normal(size=(301, 3)).astype(np.float32)

    def write(path: Path, values: np.ndarray) -> Path:
        frame = pandas.DataFrame(values, columns=list("abc")[: values.shape[1]])
        if path.suffix == ".npy":
            np.save(path, values)
        elif path.suffix == ".parquet":
            frame.to_parquet(path, row_group_size=100)
        elif path.suffix == ".feather":
            frame.to_feather(path)
        else:
            frame.to_csv(path, index=False)
        return path

    x = write(tmp_path / f"x{first}", rows[:, :2])
    y = write(tmp_path / f"y{second}", rows[:, 2:])
    reading = Reading(target=str(y))
    source = open_source(x, dtype="float64", reading=reading)
    problem = source.load()
    np.testing.assert_allclose(problem.x, rows[:, :2], rtol=1e-6)
    np.testing.assert_allclose(problem.y, rows[:, 2], rtol=1e-6)
    part = np.concatenate([b.y.copy() for b in source.blocks(1000, 55, 155)])[:100]
    np.testing.assert_allclose(part, rows[55:155, 2], rtol=1e-6)
    write(y, rows[:7, 2:])
    with pytest.raises(ProblemError, match="x has 301 rows but the target's file has 7"):
        open_source(x, reading=reading)
    write(y, rows)
    with pytest.raises(ProblemError, match="which column is y"):
        open_source(x, reading=reading)


# The fast path


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "content",
    [
        TABLE["pandas"],
        TABLE["R, write.csv"],
        TABLE["Excel, German"].replace("\r", ""),
        '# x\n\n"a\nb",c,y\n1,2,3\n\n +3. ,"4",5\n5e-1,.5,-1\n',
        "a,note,y\n1,#2,3\n4,\"x, 'y'\n\",6\n",
        "note,a,y\n#1,1,2\n#2,3,4\nz,5,6\n",
        "a,y\n1,2\n3,nan\n",
        "a,y\n1,2\n3,4,5\n",
        "a,y\n1,2\n3,x\n",
        "a,y\n1,2\n3\n",
        "a,y\nTrue,2\n3,4\n",
        "a,y\n1_0,2\n",
        "a,y\n0x10,2\n",
        "a,y\nNA,2\n3,4\n",
        "a,y\n-inf,2\n3,4\n",
        "a,y\n0.1,123456789.123456789\n1e-310,4.9e-324\n",
    ],
)
@pytest.mark.parametrize("na", ["error", "drop"])
def test_pyarrow_numpy_and_our_own_parser_agree(content, newline, na, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow.csv")
    path = tmp_path / "data.csv"
    path.write_bytes(content.replace("\n", newline).encode())
    found = []
    for way in ("pyarrow", "numpy", "ours"):
        monkeypatch.setattr(text_files, "FAST_BYTES", 0 if way != "ours" else 1 << 30)
        if way == "numpy":
            monkeypatch.setitem(sys.modules, "pyarrow", None)
        try:
            source = open_source(path, dtype="float64", reading=Reading(na=na))
        except ProblemError as error:
            found.append(str(error))
        else:
            problem, origin = source.load(), source.origin
            found.append((problem.x.tolist(), problem.y.tolist(), origin))
    assert found[0] == found[1] == found[2]


def test_large_files_are_read_by_pyarrow(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow.csv")
    path = tmp_path / "data.csv"
    rows = np.random.default_rng(0).normal(size=(30_000, 4))
    np.savetxt(path, rows, delimiter=";", header="a;b;c;y", comments="")

    def never(*_: object) -> None:
        raise AssertionError

    for slower in ("_read_records", "_read_with_numpy"):
        monkeypatch.setattr(TextFile, slower, never)
    np.testing.assert_array_equal(load(path, dtype="float64").x, rows[:, :3])


def test_without_pyarrow_text_is_read_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "FAST_BYTES", 0)
    for module in ("pyarrow", "pyarrow.csv"):
        monkeypatch.setitem(sys.modules, module, None)
    for kind in TABLE:
        (tmp_path / "data.csv").write_bytes(TABLE[kind].encode())
        problem = load(tmp_path / "data.csv", dtype="float64", reading=OPTIONS.get(kind))
        np.testing.assert_array_equal(problem.y, Y)
    (tmp_path / "data.csv.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(9))
    with pytest.raises(MissingLibraryError, match=r"reading .zst needs pyarrow: pip install"):
        load(tmp_path / "data.csv.zst")
