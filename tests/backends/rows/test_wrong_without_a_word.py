"""Test files that an earlier version read wrongly without an error."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from backends.errors import ProblemError
from backends.rows.datafile import load, open_source
from backends.rows.reading import Reading


def text(folder: Path, content: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode())
    return path


def parquet(path: Path, **columns: object) -> Path:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def holds(path: Path, x: object, y: object, /, *args: object, **kwargs: object) -> None:
    problem = load(path, *args, **kwargs)
    np.testing.assert_array_equal(problem.x, x)
    np.testing.assert_array_equal(problem.y, y)


def notes(path: Path, *args: object, **kwargs: object) -> str:
    origin = open_source(path, *args, **kwargs).origin
    assert origin is not None
    return "\n".join(origin.notes)


def refusal(path: Path, *args: object, **kwargs: object) -> str:
    with pytest.raises(ProblemError) as caught:
        load(path, *args, **kwargs)
    return str(caught.value)


# Headers


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ('"2019","2020","2021"\n1,2,3\n4,5,6\n', ("2019", "2020", "2021")),
        ('"0","1","2"\n1,2,3\n4,5,6\n', ("0", "1", "2")),
        ("0,1,2\n1,2,3\n4,5,6\n", ("0", "1", "2")),
        ("0;1;2\n1;2;3\n4;5;6\n", ("0", "1", "2")),
    ],
)
def test_numbers_that_are_names_are_no_row(tmp_path, content, names):
    path = text(tmp_path, content)
    holds(path, [[1, 2], [4, 5]], [3, 6])
    holds(path, [3, 6], [1, 4], x=[names[2]], y=names[0])


def test_a_first_line_of_numbers_is_data_and_that_is_said(tmp_path):
    path = text(tmp_path, "2019,2020,2021\n1,2,3\n4,5,6\n")
    holds(path, [[2019, 2020], [1, 2], [4, 5]], [2021, 3, 6])
    assert "only numbers and was taken for data; --header yes" in notes(path)
    yes, no = Reading(header=True), Reading(header=False)
    holds(path, [[1, 2], [4, 5]], [3, 6], reading=yes)
    assert not notes(path, reading=yes)
    assert not notes(path, reading=no)


def test_names_0_1_2_may_be_data(tmp_path):
    path = text(tmp_path, "0,1\n1,3\n2,5\n")
    assert "--header no" in notes(path)
    holds(path, [0, 1, 2], [1, 3, 5], reading=Reading(header=False))


def test_pandas_index_above_numbers_as_names(tmp_path):
    path = text(tmp_path, ",0,1,2\n0,1.5,2,3\n1,4,5,6\n")
    holds(path, [[1.5, 2], [4, 5]], [3, 6])
    assert "'Unnamed: 0' (without a name" in notes(path)


HOLES = ["?", "NA", "", '"1,5"', "5%", "2024-01-31", "31.12.2024", "N/A", "nan", "-", "12:30"]


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_first_line_with_a_hole_is_no_header(tmp_path, hole, column):
    cells = ["1.0", "2.0", "5.0"]
    cells[column] = hole
    path = text(tmp_path, ",".join(cells) + "\n3,4,5\n6,7,8\n")
    line = refusal(path)
    if hole == "nan":  # not a finite number
        assert "holds nan in row 1" in line
        return
    assert f"line 1 (row 1), column '{column}'" in line
    assert line.endswith("add --header yes")


def test_a_first_line_like_those_below_is_no_header(tmp_path):
    path = text(tmp_path, "k1,1,2\nk2,3,4\n")
    holds(path, [1, 3], [2, 4], x=["1"])
    assert "taken for data" in notes(path, x=["1"])


def test_names_beside_numbers_are_a_header_and_that_is_said(tmp_path):
    path = text(tmp_path, "a,2020\n1,2\n")
    holds(path, [1], [2])
    assert "--header no" in notes(path)


# Indices


def test_the_pandas_index_of_a_parquet_file_is_left_out(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"a": [1.0, 2, 3], "y": [4.0, 5, 6]})
    frame[frame.a > 1].to_parquet(tmp_path / "plain.parquet")
    holds(tmp_path / "plain.parquet", [2, 3], [5, 6])
    frame.set_index("a").to_parquet(tmp_path / "named.parquet")
    frame.assign(b=[7.0, 8, 9]).set_index("a").to_parquet(tmp_path / "named.parquet")
    holds(tmp_path / "named.parquet", [4, 5, 6], [7, 8, 9])
    holds(tmp_path / "named.parquet", [1, 2, 3], [7, 8, 9], x=["a"])
    assert "'a' (the pandas index)" in notes(tmp_path / "named.parquet")


@pytest.mark.parametrize(
    "content",
    [
        ",a,y\n0,1,2\n1,3,4\n",  # pandas
        '"","a","y"\n"1",1,2\n"2",3,4\n',  # R, write.csv
        '"a" "y"\n"1" 1 2\n"2" 3 4\n',  # R, write.table
        "a,y\nk1,1,2\nk2,3,4\n",  # R, write.table(sep = ",")
        "a,y,\n1,2,\n3,4,\n",  # a comma at the end of each line
        "a,y\n1,2,\n3,4,\n",
    ],
)
def test_a_column_without_a_name_is_left_out_and_named(tmp_path, content):
    path = text(tmp_path, content)
    holds(path, [1, 3], [2, 4])
    assert "not used unless --x or --y names it: 'Unnamed: " in notes(path)


def test_a_column_without_a_name_may_be_used(tmp_path):
    holds(text(tmp_path, ",a,y\n7,1,2\n8,3,4\n"), [7, 8], [2, 4], x=["Unnamed: 0"])


# Folders and patterns


def spark(folder: Path) -> Path:
    """Write a folder as Spark does: two parts, and other files that must be ignored."""
    for k in range(2):
        parquet(folder / f"part-{k}.snappy.parquet", a=[k, k + 10], y=[k + 0.5, k + 10.5])
        parquet(folder / f".part-{k}.snappy.parquet", a=[9], y=[9])
        (folder / f".part-{k}.snappy.parquet.crc").write_bytes(b"crc")
    parquet(folder / "_temporary" / "0" / "part-7.parquet", a=[9], y=[9])
    parquet(folder / "_temporary.parquet", a=[9], y=[9])
    (folder / "_SUCCESS").touch()
    return folder


def test_a_folder_of_spark(tmp_path):
    folder = spark(tmp_path / "out")
    holds(folder, [0, 10, 1, 11], [0.5, 10.5, 1.5, 11.5])
    holds(folder / "*.parquet", [0, 10, 1, 11], [0.5, 10.5, 1.5, 11.5])
    dataset = pytest.importorskip("pyarrow.dataset").dataset(folder, format="parquet")
    names = {Path(name).name for name in dataset.files}
    origin = open_source(folder).origin
    assert origin is not None
    assert {Path(name).name for name in origin.files} == names


@pytest.mark.parametrize("asked", ["hive", "hive/year=*", "hive/**/*.parquet", "hi*"])
def test_nested_folders_and_partitions(tmp_path, asked):
    for year in (2023, 2024):
        for month in (1, 2):
            folder = tmp_path / "hive" / f"year={year}" / f"month={month:02}"
            parquet(folder / "part-0.parquet", a=[year + month], y=[month])
    path = tmp_path / asked
    holds(path, [2024, 2025, 2025, 2026], [1, 2, 1, 2])
    assert "'year' (from the names of folders)" in notes(path)
    expected = [[2023, 1], [2023, 2], [2024, 1], [2024, 2]]
    holds(path, expected, [2024, 2025, 2025, 2026], x=["year", "month"], y="a")
    holds(path, [1, 2, 1, 2], [2023, 2023, 2024, 2024], x=["y"], y="year")


def test_a_partition_without_a_number_is_refused_by_name(tmp_path):
    for kind in ("new", "__HIVE_DEFAULT_PARTITION__"):
        parquet(tmp_path / "hive" / f"kind={kind}" / "part-0.parquet", a=[1], y=[2])
    holds(tmp_path / "hive", [1, 1], [2, 2])
    assert "column 'kind' is " in refusal(tmp_path / "hive", x=["kind"])


def test_csv_in_folders(tmp_path):
    for year in (2023, 2024):
        text(tmp_path, f"a,y\n{year},1\n", f"out/year={year}/part-0.csv")
    (tmp_path / "out" / "_SUCCESS").touch()
    (tmp_path / "out" / "README.txt").write_text("what this is")
    holds(tmp_path / "out", [2023, 2024], [1, 1])
    holds(tmp_path / "out", [2023, 2024], [2023, 2024], x=["a"], y="year")


def test_patterns_of_csv_and_npy(tmp_path):
    for k in range(3):
        text(tmp_path, f"a,y\n{k},{k + 10}\n", f"d{k}/part.csv")
        np.save(tmp_path / f"part-{k}.npy", np.array([[k, k + 10.0]] * 3))
    holds(tmp_path / "d*" / "part.csv", [0, 1, 2], [10, 11, 12])
    holds(tmp_path / "d[12]" / "*.csv", [1, 2], [11, 12])
    holds(tmp_path / "part-*.npy", np.repeat([0, 1, 2], 3), np.repeat([10, 11, 12], 3))
    text(tmp_path, "a,z\n1,2\n", "d3/part.csv")
    line = refusal(tmp_path / "d*" / "part.csv")
    assert "part.csv: there is no column 'y', which " in line
    assert line.endswith(f"{Path('d0') / 'part.csv'} has")


def test_a_pattern_of_different_formats_is_refused(tmp_path):
    np.save(tmp_path / "data.npy", np.ones((2, 2)))
    text(tmp_path, "a,y\n1,2\n")
    assert "are of different formats" in refusal(tmp_path / "data.*")


def test_a_name_with_a_wildcard_is_a_file_first(tmp_path):
    holds(text(tmp_path, "a,y\n1,2\n", "data[1].csv"), [1], [2])


def test_pq_and_no_suffix(tmp_path):
    holds(parquet(tmp_path / "data.pq", a=[1, 2], y=[3, 4]), [1, 2], [3, 4])
    holds(parquet(tmp_path / "data", a=[1, 2], y=[3, 4]), [1, 2], [3, 4])
    np.save(tmp_path / "rows.npy", [[1, 3], [2, 4]])
    (tmp_path / "rows.npy").rename(tmp_path / "rows")
    holds(tmp_path / "rows", [1, 2], [3, 4])
    holds(text(tmp_path, "a,y\n1,3\n2,4\n", "plain"), [1, 2], [3, 4])


# Archives


X, Y, W = np.arange(6.0).reshape(3, 2), np.array([7.0, 8, 9]), np.ones(3)


@pytest.mark.parametrize(
    "arrays",
    [
        {"X": X, "y": Y, "weights": W},
        {"Y": Y, "X": X},
        {"y": Y[:, None], "weights": W, "x": X},
        {"target": Y, "X": X},
        {"X": X, "target": Y[:, None]},
    ],
)
def test_x_and_y_of_an_archive(tmp_path, arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    holds(tmp_path / "data.npz", X, Y)


@pytest.mark.parametrize(
    "arrays",
    [
        {"target": Y, "features": X},
        {"features": X, "target": Y, "weights": W},
        {"target": Y, "a": W, "b": W},
        {"X": X, "target": Y, "weights": W},
        {"x": X, "X": X, "y": Y},
    ],
)
def test_other_archives_are_asked_about(tmp_path, arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    line = refusal(tmp_path / "data.npz")
    assert "say which arrays are x and y with --x and --y; there are '" in line
    for name, array in arrays.items():
        assert f"{name!r} {array.shape}" in line
    features = "X" if "X" in arrays else "features" if "features" in arrays else "a"
    target = "y" if "y" in arrays else "target"
    holds(tmp_path / "data.npz", arrays[features], Y, x=[features], y=target)


# Integers that float32 cannot hold

EPOCH = [1_700_000_001, 1_700_000_002, 1_700_000_003]


def test_integers_that_float32_rounds_are_named(tmp_path):
    pytest.importorskip("pyarrow")
    pyarrow = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    text(tmp_path, "time,small,y\n" + "".join(f"{t},{t % 7},1.5\n" for t in EPOCH))
    parquet(tmp_path / "data.parquet", time=EPOCH, small=[1, 2, 3], y=[1.5, 2, 3])
    np.savez(tmp_path / "data.npz", time=np.array(EPOCH), small=[1, 2, 3], y=[1.5, 2, 3])
    table = pyarrow.table({"time": EPOCH, "small": [1, 2, 3], "y": [1.5, 2, 3]})
    feather.write_feather(table, tmp_path / "data.feather")
    kinds = [("time", "i8"), ("small", "i4"), ("y", "f8")]
    np.save(tmp_path / "data.npy", np.array([(t, 1, 1.5) for t in EPOCH], kinds))
    for suffix in (".csv", ".parquet", ".npz", ".feather", ".npy"):
        path = tmp_path / f"data{suffix}"
        said = notes(path)
        assert "column 'time' holds integers up to 1700000003, which float32 rounds" in said
        assert said.count("--dtype float64") == 1  # no other column is named
        assert not notes(path, dtype="float64")
        np.testing.assert_array_equal(load(path, x=["time"], dtype="float64").x, EPOCH)


def test_integers_of_a_plain_array(tmp_path):
    np.save(tmp_path / "data.npy", np.array([[t, 3, 1] for t in EPOCH]))
    assert "column '0' holds integers up to 1700000003" in notes(tmp_path / "data.npy")
    np.save(tmp_path / "data.npy", np.array([[1 << 40, 3, 1]] * 5))  # a power of two is exact
    assert not notes(tmp_path / "data.npy")


# Names


ACCENT = unicodedata.normalize("NFD", "Größe")


@pytest.mark.parametrize("asked", ["Größe", ACCENT, " Größe "])
@pytest.mark.parametrize("written", ["Größe", ACCENT, f" {ACCENT} "])
def test_names_are_compared_without_spaces_and_composed(tmp_path, written, asked):
    text(tmp_path, f"a,{written},y\n1,2,3\n4,5,6\n")
    parquet(tmp_path / "data.parquet", **{"a": [1, 4], written: [2, 5], "y": [3, 6]})
    for path in (tmp_path / "data.csv", tmp_path / "data.parquet"):
        holds(path, [2, 5], [3, 6], x=[asked])
        holds(path, [1, 4], [2, 5], x=["a"], y=asked)


def test_what_was_read_is_on_record(tmp_path):
    path = text(tmp_path, 'a,"b, c",y\n1,2,3\n4,5,6\n')
    source = open_source(path, x=["b, c"])
    assert source.origin is not None
    assert (source.origin.x, source.origin.y) == (("b, c",), "y")
    assert source.origin.files == (str(path),)
    np.savez(tmp_path / "wide.npz", x=X, y=Y)
    wide = open_source(tmp_path / "wide.npz").origin
    assert wide is not None
    assert wide.x == ("x[0]", "x[1]")
