"""The read: every way reads every word once a pass, and says how many bytes it read."""

from __future__ import annotations

import numpy as np
import pytest

from backends.synthetic import generate
from bench.measure import bandwidth
from bench.measure.bandwidth import WAYS, Reader, _split, dots, largest, sums

PAIR = 2 << 11
"""Words in a chunk of both halves."""


@pytest.mark.parametrize("length", [1, 1000, PAIR, 5 * PAIR, 5 * PAIR + 7])
def test_every_way_reads_every_word_once_a_pass(length: int) -> None:
    whole = np.arange(length, dtype=np.int64) % 100
    words, passes = whole.astype(np.float64), 3
    first, second = words[: length // PAIR * PAIR].reshape(2, -1)
    for way, data, expected, of in (
        (sums, whole.view(np.float64), whole.sum(), length),
        (largest, words, words.view(np.uint8).max(), length),
        (dots, words, first @ second, 2 * len(first)),
    ):
        work = way(data, passes)
        work()
        totals = work.results.reshape(passes, -1).sum(axis=1)
        assert totals.tolist() == [expected] * passes
        assert work.nbytes == 8 * passes * of


def test_the_dots_walk_both_halves_side_by_side() -> None:
    """Pass after pass, chunk after chunk: the results lie in the order they are made in."""
    first, second = dots(np.ones(6 * PAIR), 3).values
    assert first.shape == second.shape == (3, 6, PAIR // 2)
    assert first.strides == second.strides == (0, 8 * PAIR // 2, 8)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("nbytes", [800, 100_000, 3_000_000, 200_000_000])
def test_a_reader_tells_what_it_reads(nbytes: int, threads: int) -> None:
    """A call reads for as long as a round of steps lasts, not one pass."""
    reader = Reader.of_bytes(nbytes, threads)
    reader()
    reader.close()
    assert nbytes - 8 * PAIR * threads < reader.nbytes <= nbytes
    assert reader.nbytes > 0
    assert reader.passes == (1024 if nbytes < 2**20 else 2**30 // nbytes)


@pytest.mark.parametrize(("rows", "features"), [(10_001, 1), (70_001, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_reader_of_much_reads_the_data_themselves(
    dtype: str, rows: int, features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = generate(rows, features, dtype)
    monkeypatch.setattr(bandwidth, "IN_PLACE_BYTES", problem.bytes_per_step)
    reader = Reader.of(problem, 2)
    assert 0 < reader.bytes_per_s() < 1e13
    parts = [v for part in reader._way for reduction in part for v in reduction.values]
    for v in parts:
        assert np.shares_memory(v, problem.x) or np.shares_memory(v, problem.y) or not v.size
    reader.close()
    for way in (sums, largest):  # all of it but the last half word; dots leave more out
        read = [
            way(v, 1).nbytes for of in (problem.x, problem.y) for v in _split(of.ravel(), 2)
        ]
        assert problem.bytes_per_step - 8 <= sum(read) <= problem.bytes_per_step
    monkeypatch.setattr(bandwidth, "IN_PLACE_BYTES", problem.bytes_per_step + 1)
    reader = Reader.of(problem, 1)
    assert not any(np.shares_memory(v, problem.x) for v in reader._way[0][0].values)
    reader.close()


def test_a_reader_takes_the_way_that_was_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    for fastest in range(len(WAYS)):
        rates = iter([float(k % len(WAYS) == fastest) for k in range(100)])
        monkeypatch.setattr(Reader, "_try", lambda self, way, rates=rates: next(rates))
        reader = Reader.of_bytes(1_000_000, 1)
        ((work,),), expected = reader._way, WAYS[fastest](np.ones(125_000), 1)
        reader.close()
        assert work.reduce == expected.reduce
        assert [v.shape[1:] for v in work.values] == [v.shape[1:] for v in expected.values]
