"""Test that all sources return the saved rows, however the rows are divided into blocks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends import ProblemError, generate
from backends.problem import step_bytes
from backends.rows.datafile import open_source
from backends.rows.made import Generated, InMemory
from backends.rows.source import Source

files = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # examples overwrite files
)

ROWS = 1009


def table(columns: int = 4, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(columns).normal(size=(rows, columns))


def save_npy(folder: Path, rows: np.ndarray, order: str = "C") -> Path:
    path = folder / "rows.npy"
    np.save(path, np.asarray(rows, order=order))
    return path


def save_parquet(folder: Path, rows: np.ndarray, groups: int = 100, parts: int = 1) -> Path:
    """Write row groups of `groups` rows, in one file or in a folder of `parts` files."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / "rows.parquet" if parts == 1 else folder / "parts"
    path.mkdir(exist_ok=True) if parts > 1 else None
    for k, part in enumerate(np.array_split(rows, parts)):
        columns = {f"c{j}": column for j, column in enumerate(part.T)}
        to = path if parts == 1 else path / f"part-{k:02}.parquet"
        parquet.write_table(pa.table(columns), to, row_group_size=groups)
    return path


def save_arrow(
    folder: Path, rows: np.ndarray, batch: int = 100, compression: str | None = None
) -> Path:
    """Write Arrow batches of `batch` rows; return the file's path."""
    pa = pytest.importorskip("pyarrow")
    columns = pa.table({f"c{j}": column for j, column in enumerate(rows.T)})
    path = folder / "rows.arrow"
    how = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(str(path), columns.schema, options=how) as file:
        file.write_table(columns, max_chunksize=batch)
    return path


KINDS: dict[str, Callable[[Path], tuple[Source, np.ndarray]]] = {
    "npy": lambda folder: (open_source(save_npy(folder, table())), table()),
    "npy by column": lambda folder: (open_source(save_npy(folder, table(), "F")), table()),
    "arrow": lambda folder: (open_source(save_arrow(folder, table())), table()),
    "arrow, compressed": lambda folder: (
        open_source(save_arrow(folder, table(), 37, "zstd")),
        table(),
    ),
    "parquet": lambda folder: (open_source(save_parquet(folder, table())), table()),
    "parquet files": lambda folder: (
        open_source(save_parquet(folder, table(), groups=37, parts=5)),
        table(),
    ),
    "generated": lambda _: (
        Generated(ROWS, 3),
        np.column_stack([generate(ROWS, 3).x, generate(ROWS, 3).y]),
    ),
    "in memory": lambda _: (
        InMemory.of(generate(ROWS, 3)),
        np.column_stack([generate(ROWS, 3).x, generate(ROWS, 3).y]),
    ),
}

every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
@files
@given(data=st.data())
def test_blocks_of_any_range_are_its_rows_and_zeros(kind, data, tmp_path):
    source, expected = KINDS[kind](tmp_path)
    start = data.draw(st.integers(0, ROWS - 1))
    stop = data.draw(st.integers(start + 1, ROWS))
    most = data.draw(st.integers(1, ROWS))
    x, y, at = [], [], start
    for block in source.blocks(most * step_bytes(1, 3, "float32"), start, stop):
        assert block.start == at
        assert len(block.y) <= most
        at += len(block.y)
        x.append(block.x.copy())
        y.append(block.y.copy())
    assert len({len(part) for part in y}) == 1  # equal shapes need no new compilation
    rows, beyond = stop - start, at - stop
    assert beyond < len(y)  # fewer extra rows than blocks
    both = np.column_stack([np.concatenate(x), np.concatenate(y)])
    np.testing.assert_array_equal(both[:rows], expected[start:stop].astype(np.float32))
    assert not both[rows:].any()


@every_kind
def test_a_source_survives_being_sent_elsewhere(kind, tmp_path):
    source, _ = KINDS[kind](tmp_path)
    there = pickle.loads(pickle.dumps(source))  # noqa: S301 (our own)
    for name in ("x", "y"):
        np.testing.assert_array_equal(getattr(there.load(), name), getattr(source.load(), name))
    assert (there.rows, there.features, there.source) == (ROWS, 3, source.source)


def test_only_compressed_arrow_files_are_decoded(tmp_path):
    """Check that compressed Arrow files are decoded and others are used as they are.

    The first batch has only one row, which is too short to be compressed.
    """
    pa = pytest.importorskip("pyarrow")
    rows = np.zeros((10_001, 4), "float32")
    for compression, in_place in ((None, True), ("zstd", False)):
        columns = pa.table({f"c{j}": column for j, column in enumerate(rows.T)})
        how = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(str(tmp_path / "rows.arrow"), columns.schema, options=how) as file:
            file.write_table(columns.slice(0, 1))
            file.write_table(columns.slice(1))
        source = open_source(tmp_path / "rows.arrow")
        assert source.ends == (1, 10_001)
        assert source.in_place is in_place


@every_kind
def test_the_reference_needs_no_more_than_a_pass(kind, tmp_path):
    source, expected = KINDS[kind](tmp_path)
    problem = source.load()
    assert source.reference.solution == pytest.approx(problem.reference.solution, rel=1e-12)
    assert source.reference.loss([1, 2, 3]) == pytest.approx(
        np.mean((expected[:, :3] @ [1, 2, 3] - expected[:, 3]) ** 2), rel=1e-6
    )


def test_a_range_of_generated_rows_is_that_range_of_the_whole():
    part = Generated(100_000, 5, "float64", seed=3).load(70_001, 80_000)
    whole = generate(100_000, 5, "float64", seed=3)
    np.testing.assert_array_equal(part.x, whole.x[70_001:80_000])
    np.testing.assert_array_equal(part.y, whole.y[70_001:80_000])


def test_chosen_columns_keep_their_order(tmp_path):
    rows = table(6)
    for source in (
        open_source(save_npy(tmp_path, rows), ["4", "0", "1"], "2", "float64"),
        open_source(save_parquet(tmp_path, rows), ["c4", "c0", "c1"], "c2", "float64"),
    ):
        problem = source.load()
        np.testing.assert_array_equal(problem.x, rows[:, [4, 0, 1]])
        np.testing.assert_array_equal(problem.y, rows[:, 2])


def test_a_pattern_names_files_in_the_order_of_their_names(tmp_path):
    save_parquet(tmp_path, table(), parts=12)
    source = open_source(tmp_path / "parts" / "part-1*.parquet", dtype="float64")
    np.testing.assert_array_equal(source.load().y, np.concatenate(
        [part[:, 3] for part in np.array_split(table(), 12)[10:]]
    ))  # fmt: skip


@pytest.mark.parametrize("save", [save_npy, save_parquet])
def test_a_value_that_is_not_finite_is_named_by_its_row_in_the_file(save, tmp_path):
    rows = table()
    rows[777, 1] = np.nan
    source = open_source(save(tmp_path, rows))
    with pytest.raises(ProblemError, match=r"x holds nan in row 778, column 2 "):
        [block.check() for block in source.blocks(4000)]
    with pytest.raises(ProblemError, match="row 778"):
        source.reference  # noqa: B018 (one pass over the rows)


@pytest.mark.parametrize("save", [save_npy, save_parquet])
def test_a_number_too_large_for_float32_is_named_by_its_row(save, tmp_path):
    rows = table()
    rows[600, 3] = 1e300
    source = open_source(save(tmp_path, rows))
    with pytest.raises(ProblemError, match=r"1e\+300 in row 601 is too large for float32"):
        list(source.blocks(4000))


def test_a_null_is_named_by_its_row_among_all_files(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = save_parquet(tmp_path, table(2), parts=3)
    columns = {"c0": [1.0, 2.0, None, 4.0], "c1": [1.0] * 4}
    parquet.write_table(pa.table(columns), path / "part-99.parquet")
    with pytest.raises(ProblemError, match=f"column 'c0' holds a null in row {ROWS + 3}"):
        open_source(path).load()


def test_files_with_other_columns_are_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = save_parquet(tmp_path, table(3), parts=2)
    parquet.write_table(pa.table({"c0": [1.0], "other": [2.0]}), path / "part-02.parquet")
    with pytest.raises(ProblemError, match=r"part-02.parquet: there is no column 'c1'"):
        open_source(path)


@pytest.mark.parametrize(
    ("save", "told"),
    [
        (save_npy, "has changed since it was opened"),
        (save_parquet, "the data end after row 500"),
    ],
)
def test_data_that_shrank_are_no_zeros(save, told, tmp_path):
    """Check that reading fails if a file was replaced by a shorter file after it was opened."""
    source = open_source(save(tmp_path, table()))
    save(tmp_path, table()[:500])
    with pytest.raises(ProblemError, match=told):
        list(source.blocks(4000))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_that_is_cut_off_is_told(order, tmp_path):
    path = save_npy(tmp_path, table(), order)
    source = open_source(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 8)
    with pytest.raises(ProblemError, match=r"rows\.npy: has become shorter"):
        list(source.blocks(4000))


def test_a_sample_is_spread_over_all_rows():
    sample = Generated(1_000_000).sample(2000)
    assert 1000 <= sample.rows <= 2000
    assert sample.x.min() < 0.1
    assert sample.x.max() > 9.9
