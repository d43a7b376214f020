"""Test that a descent over blocks gives the same w as a descent in memory."""

from __future__ import annotations

import numpy as np
import pytest

from backends import ProblemError, catalogue, open_backend
from backends.names import Name
from backends.problem import TOLERANCE
from backends.reference import relative_error
from backends.rows.datafile import open_source
from backends.rows.made import Generated
from backends.rows.source import BLOCK_BYTES
from backends.rows.streamed import (
    Bounded,
    Streamed,
    StreamedGram,
    blocks_held,
    fits,
    place,
)

RATE = 0.001
ROWS = 20_011

BACKENDS = [
    str(e.name)
    for e in catalogue.entries()
    if e.available and e.name.device == "cpu" and not e.name.distributed
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("features", "dtype"), [(1, "float32"), (7, "float64")])
def test_blocks_come_to_the_same_w(backend: str, features: int, dtype: str) -> None:
    source = Generated(ROWS, features, dtype)
    kind = StreamedGram if Name.parse(backend).least_squares_only else Streamed
    descent = kind(open_backend(backend), source, RATE, source.bytes_per_step // 5)
    w0 = np.linspace(-1, 1, features)
    for steps in (0, 1, 20):
        w = descent.run(w0, steps)
        expected = source.reference.iterate(steps, RATE, w0)
        assert relative_error(w, expected) <= TOLERANCE[dtype], steps
    w = descent.run(w0, 3)
    gradient = descent.gradient(w) * 2 / ROWS
    assert gradient == pytest.approx(source.reference.gradient(w), rel=1e-4, abs=1e-4)
    assert descent.loss(w) == pytest.approx(source.reference.loss(w), rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("y", "dtype"), [("0", "float32"), ("2", "float64"), ("9", "float64")])
def test_rows_of_a_file_need_not_be_taken_apart(backend, y, dtype, tmp_path) -> None:
    """Check that a block of the file is used without separating features and y.

    The features are requested in another order than in the file.
    """
    rows = np.random.default_rng(1).normal(size=(ROWS, 10)).astype(dtype)
    np.save(tmp_path / "rows.npy", rows)
    names = [str(j) for j in (9, 7, 0, 1, 2, 3, 4, 5, 6, 8) if str(j) != y]
    source = open_source(tmp_path / "rows.npy", names, y, dtype)
    assert source.joined()
    assert open_source(tmp_path / "rows.npy", names[1:], y, dtype).joined() is None
    kind = StreamedGram if Name.parse(backend).least_squares_only else Streamed
    descent = kind(open_backend(backend), source, RATE, source.bytes_per_step // 5, 11, 19_000)
    part = source.load(11, 19_000)
    w0 = np.linspace(-1, 1, 9)
    w = descent.run(w0, 20)
    assert relative_error(w, part.reference.iterate(20, RATE, w0)) <= TOLERANCE[dtype]
    gradient = descent.gradient(w) * 2 / part.rows
    assert gradient == pytest.approx(part.reference.gradient(w), rel=1e-4, abs=1e-4)
    assert descent.loss(w) == pytest.approx(part.reference.loss(w), rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("y", ["0", "1"])
def test_one_feature_is_streamed_as_it_lies_to_those_who_like_it(backend, y, tmp_path) -> None:
    rows = np.random.default_rng(1).normal(size=(ROWS, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    source = open_source(tmp_path / "rows.npy", [str(1 - int(y))], y)
    seen = []

    class Watched:
        """A backend that records the problems it is given."""

        def __init__(self) -> None:
            self.backend = open_backend(backend)
            self.name = self.backend.name
            self.reads_pairs = self.backend.reads_pairs

        def place(self, problem, learning_rate):
            seen.append((problem.features, problem.single_pass))
            return self.backend.place(problem, learning_rate)

    kind = StreamedGram if Name.parse(backend).least_squares_only else Streamed
    descent = kind(Watched(), source, RATE, source.bytes_per_step // 5)
    w = descent.run(np.ones(1), 20)
    assert relative_error(w, source.reference.iterate(20, RATE, np.ones(1))) <= 1e-5
    assert {*seen} == {(2 if backend == "numba:parallel" else 1, True)}


def test_rows_that_are_not_as_wanted_are_taken_apart(tmp_path) -> None:
    rows = np.random.default_rng(1).normal(size=(100, 3))
    for dtype, saved in [
        ("float32", rows),
        ("float64", np.asfortranarray(rows)),
        ("float64", rows.astype(">f8")),
    ]:
        np.save(tmp_path / "rows.npy", saved)
        source = open_source(tmp_path / "rows.npy", dtype=dtype)
        assert source.joined() is None
        w0 = np.ones(source.features)
        w = Streamed(open_backend("numpy"), source, RATE, 500).run(w0, 3)
        expected = source.reference.iterate(3, RATE, w0)
        assert relative_error(w, expected) <= TOLERANCE[dtype]


def test_a_part_of_the_rows_is_a_descent_of_its_own() -> None:
    source = Generated(ROWS, 3, "float64")
    part = Streamed(open_backend("numpy"), source, RATE, 100_000, start=5000, stop=9001)
    alone = source.load(5000, 9001)
    assert relative_error(
        part.run(np.zeros(3), 10), alone.reference.iterate(10, RATE, np.zeros(3))
    ) < 1e-12  # fmt: skip


class Counting(Generated):
    """A source that counts the rows that were read."""

    read = 0

    def pieces(self, start, stop):
        for x, y in super().pieces(start, stop):
            Counting.read += len(y)
            yield x, y


def test_a_look_and_the_step_after_it_share_a_pass() -> None:
    source, Counting.read = Counting(ROWS), 0
    descent = Streamed(open_backend("numpy"), source, RATE, 40_000)
    w = np.zeros(1)
    for steps in (1, 20):
        descent.loss(w)
        descent.gradient(w)
        w = descent.run(w, steps)
    assert Counting.read == 21 * ROWS


def test_gram_makes_one_pass() -> None:
    source, Counting.read = Counting(ROWS), 0
    descent = StreamedGram(open_backend("numpy:gram"), source, RATE, 40_000)
    descent.loss(descent.run(np.zeros(1), 1000))
    assert Counting.read == ROWS


def test_what_fits_is_placed_and_what_does_not_is_streamed() -> None:
    source, numpy = Generated(ROWS), open_backend("numpy")
    assert not isinstance(place(numpy, source, RATE, 10**9), Streamed)
    large_enough = Generated(2_000_000)
    assert fits(large_enough, 0, 2_000_000, 4 * large_enough.bytes_per_step)
    assert not fits(large_enough, 0, 2_000_000, 4 * large_enough.bytes_per_step - 1)
    least = blocks_held(1) << 20
    large = Generated(10**9)
    streamed = place(numpy, large, RATE, least)
    assert isinstance(streamed, Streamed)
    assert (streamed.block_bytes, streamed.threads) == (1 << 20, 1)
    streamed = place(numpy, large, RATE, blocks_held(7) << 20, threads=8)
    assert isinstance(streamed, Streamed)
    assert (streamed.block_bytes, streamed.threads) == (1 << 20, 7)
    roomy = place(numpy, large, RATE, 4 * 10**9)
    assert isinstance(roomy, Streamed)
    assert roomy.block_bytes == BLOCK_BYTES
    with pytest.raises(ProblemError, match=r"only 14 MB of memory .* too little .*; 1 MB more"):
        place(numpy, large, RATE, least - 1)


def test_a_streamed_descent_is_announced_before_it_reads() -> None:
    told: list[Streamed] = []
    bounded = Bounded(open_backend("numpy"), blocks_held(1) << 20, told.append)
    descent = bounded.place(Generated(10**9), RATE)
    assert told == [descent]
    Bounded(open_backend("numpy"), 10**9, told.append).place(Generated(100), RATE)
    assert len(told) == 1


def test_a_value_that_is_not_finite_is_found_by_the_sums(tmp_path) -> None:
    rows = np.random.default_rng(0).normal(size=(5000, 3))
    rows[4321, 2] = np.inf
    np.save(tmp_path / "rows.npy", rows)
    source = open_source(tmp_path / "rows.npy")
    descent = Streamed(open_backend("numpy"), source, RATE, 20_000)
    with pytest.raises(ProblemError, match=r"y holds inf in row 4322"):
        descent.run(np.zeros(2), 1)
    with pytest.raises(ProblemError, match=r"y holds inf in row 4322"):
        StreamedGram(open_backend("numpy:gram"), source, RATE, 20_000)


def test_the_time_of_a_pass_is_estimated_from_few_blocks() -> None:
    Counting.read = 0
    descent = Streamed(open_backend("numpy"), Counting(10**9), RATE, 1 << 20)
    assert 0 < descent.seconds_a_pass() < 3600
    assert 0 < Counting.read < 10**7
