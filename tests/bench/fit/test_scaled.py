"""Test scaled rows: the statistics need one pass, and rows are scaled when they are read."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from backends import open_backend
from backends.errors import ProblemError
from backends.losses import LOG_LOSS, POISSON
from backends.problem import make_problem
from backends.rows.datafile import open_source
from backends.rows.made import Generated, InMemory
from backends.rows.source import Source
from backends.rows.streamed import Streamed
from bench.fit.scaled import PIECE_BYTES, Scaled, measured, prepare
from bench.fit.scaling import Columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backends.rows.blocks import Piece

RNG = np.random.default_rng(5)
X = RNG.standard_normal((50_000, 4)) * [1e-3, 1, 1e3, 1e6] + [1, 0, -1e5, 1.7e9]
Y = X @ [1e3, 1, 1e-3, 1e-6] + 1e4 + RNG.standard_normal(len(X))


@pytest.fixture(params=["memory", "npy", "parquet"])
def raw(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """Four columns of different size and a target, in memory or in a file."""
    if request.param == "memory":
        return InMemory.of(make_problem(X, Y, np.float64))
    if request.param == "npy":
        np.save(tmp_path / "rows.npy", np.column_stack([X, Y]))
        return open_source(tmp_path / "rows.npy", dtype="float64")
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({f"c{i}": column for i, column in enumerate([*X.T, Y])})
    parquet.write_table(table, tmp_path / "rows.parquet", row_group_size=7000)
    return open_source(tmp_path / "rows.parquet", dtype="float64")


def test_rows_are_centred_before_they_are_rounded(raw: Source) -> None:
    ready = prepare(raw, "float32", intercept=True, standardize=True)
    problem = ready.source.load()
    assert (problem.dtype, problem.features) == ("float32", 5)
    expected = np.column_stack([(X - X.mean(0)) / X.std(0), np.ones(len(X))])
    assert np.abs(problem.x - expected).max() < 1e-6
    assert np.abs(problem.y - (Y - Y.mean())).max() < 1e-6 * np.ptp(Y)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_any_range_of_rows_is_that_of_all_rows(
    raw: Source, intercept: bool, standardize: bool
) -> None:
    source = prepare(raw, "float64", intercept=intercept, standardize=standardize).source
    whole = source.load()
    for start, stop in ((0, 1), (6999, 7001), (12_345, 50_000)):
        part = source.load(start, stop)
        assert (part.x == whole.x[start:stop]).all()
        assert (part.y == whole.y[start:stop]).all()


def test_streamed_rows_descend_as_rows_in_memory_do(raw: Source) -> None:
    source = prepare(raw, "float32", intercept=True, standardize=True).source
    backend, rate = open_backend("numpy:blocked"), 0.1
    streamed = Streamed(backend, source, rate, 1 << 18)
    there = backend.place(source.load(), rate)
    w = streamed.run(np.zeros(5), 30)
    assert w == pytest.approx(there.run(np.zeros(5), 30), rel=1e-5, abs=1e-5)
    assert streamed.loss(w) == pytest.approx(there.loss(w), rel=1e-5)


@dataclass(frozen=True, eq=False)
class Counted(Source):
    """Rows in memory; `asked` lists how many rows each read requested."""

    inner: InMemory
    asked: list[int] = field(default_factory=list)

    @property
    def source(self) -> str:
        return "counted"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        self.asked.append(stop - start)
        yield from self.inner.pieces(start, stop)


def test_the_statistics_take_one_pass_in_small_blocks() -> None:
    held = InMemory.of(make_problem(X, Y, np.float64))
    counted = Counted(held.rows, held.features, "float64", held)
    columns = measured(counted)
    assert sum(counted.asked) == len(X)
    assert columns.mean == pytest.approx(X.mean(0), rel=1e-13)
    assert columns.deviation == pytest.approx(X.std(0), rel=1e-9)
    lengths = [
        len(y)
        for _, y in prepare(held, "float32", intercept=True, standardize=True).source.pieces(
            0, len(X)
        )
    ]
    assert max(lengths) * 5 * 8 <= PIECE_BYTES


def test_without_either_the_rows_are_the_same_object() -> None:
    raw = Generated(100, 2)
    ready = prepare(raw, "float32", intercept=False, standardize=False)
    assert ready.source is raw
    assert ready.names() == ("0", "1")


def test_a_value_that_is_not_finite_is_named_by_the_first_pass() -> None:
    x = np.ones((10, 2))
    x[7, 1] = np.nan
    raw = InMemory.of(make_problem([[1.0, 2]], [1.0], np.float64))
    broken = Counted(10, 2, "float64", raw)
    object.__setattr__(broken, "pieces", lambda *_: iter([([x], np.ones(10))]))
    with pytest.raises(ProblemError, match="x holds nan in row 8, column 2"):
        prepare(broken, "float32", intercept=True, standardize=True)


def test_targets_are_shifted_only_where_the_loss_allows_it() -> None:
    y = np.repeat([0.0, 1.0], 500)
    for loss in (LOG_LOSS, POISSON):
        raw = InMemory.of(make_problem(X[:1000], y, np.float64, loss=loss))
        ready = prepare(raw, "float32", intercept=True, standardize=True)
        assert ready.scaling.target == 0
        assert (ready.source.load().y == y).all()
        assert ready.source.loss == loss


def test_generated_targets_follow_the_loss() -> None:
    source = prepare(Generated(100), "float32", intercept=True, standardize=False).source
    other = source.with_loss(LOG_LOSS)
    assert isinstance(other, Scaled)
    assert set(other.load().y) == {0.0, 1.0}


def test_rows_for_other_processes_are_cut_before_they_are_sent(raw: Source) -> None:
    ready = prepare(raw, "float32", intercept=True, standardize=True, send=True)
    if isinstance(raw, InMemory):
        assert isinstance(ready.source, InMemory)
        return
    assert len(pickle.dumps(ready.source)) < 10_000
    again = pickle.loads(pickle.dumps(ready.source))  # noqa: S301 (our own)
    assert (again.load(3, 5).x == ready.source.load(3, 5).x).all()


def test_constant_columns_are_told() -> None:
    x = np.column_stack([X[:100, 0], np.full(100, 0.1), np.zeros(100)])
    raw = InMemory.of(make_problem(x, Y[:100], np.float64))
    ready = prepare(raw, "float32", intercept=True, standardize=True)
    assert ready.constant == (1, 2)
    assert ready.scaling.scale[1:] == (1.0, 1.0)
    assert (ready.source.load().x[:, 1:3] == 0).all()
    assert Columns.of(x, Y[:100]).constant.tolist() == [False, True, True]
