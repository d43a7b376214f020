"""Test the baseline that reads memory: each pass reads and counts all bytes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from backends import catalogue
from backends.errors import MissingLibraryError
from backends.synthetic import generate
from bench.measure import bandwidth
from bench.measure.bandwidth import REDUCTIONS, Reader, Way, _split, dots, largest, sums, ways
from bench.results.case import SMALLEST_BYTES

PAIR = 2 << 11
"""Number of 8-byte words in two chunks, one from each half of the array."""


@pytest.fixture(autouse=True)
def no_way_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "_known", {})


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


@pytest.mark.parametrize("length", [0, 1, 63, 64, 1000, 100_003])
def test_a_compiled_loop_reads_every_value_of_whole_vectors(length: int) -> None:
    read = pytest.importorskip("backends.numba.read")
    values = np.arange(length, dtype=np.int32) % 1000
    for places in read.PLACES:
        count = read.values_read(length, places)
        assert length - 64 * places < count <= length
        for ahead in (read.AHEAD_LINES, 0):
            assert read.sum_of(values, places, 3, ahead) == 3 * values[:count].sum()
            how = "" if ahead else ", no prefetch"
            work = bandwidth.compiled()[f"compiled, {places} place{'s' * (places > 1)}{how}"]
            part = work(values.view(np.float32), 3)
            part()
            assert part.nbytes == 3 * 4 * count


def test_much_is_read_by_compiled_loops_and_little_by_numpy() -> None:
    pytest.importorskip("numba")
    assert set(ways(SMALLEST_BYTES)) == {*REDUCTIONS, *bandwidth.compiled()}
    assert len(bandwidth.compiled()) == 6
    assert ways(SMALLEST_BYTES - 1) == REDUCTIONS


def test_without_numba_numpy_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise MissingLibraryError("numba is not installed")

    monkeypatch.setattr(catalogue, "load", missing)
    bandwidth.compiled.cache_clear()
    reader = Reader.of_bytes(2 * SMALLEST_BYTES, 1)
    reader.close()
    bandwidth.compiled.cache_clear()
    assert reader.way in REDUCTIONS


def test_the_dots_walk_both_halves_side_by_side() -> None:
    """Check the shape of both halves of the array: passes, chunks, words of a chunk."""
    first, second = dots(np.ones(6 * PAIR), 3).values
    assert first.shape == second.shape == (3, 6, PAIR // 2)
    assert first.strides == second.strides == (0, 8 * PAIR // 2, 8)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("nbytes", [800, 100_000, 3_000_000, 200_000_000])
def test_a_reader_tells_what_it_reads(nbytes: int, threads: int) -> None:
    """Check how many bytes a reader reads, and how many passes one call makes.

    Small data are read 1024 times, so that a call takes about as long as a round of steps.
    """
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
    for v in arrays(reader):
        assert np.shares_memory(v, problem.x) or np.shares_memory(v, problem.y) or not v.size
    reader.close()
    for way in (sums, largest):  # all bytes except the last half word
        read = [
            way(v, 1).nbytes for of in (problem.x, problem.y) for v in _split(of.ravel(), 2)
        ]
        assert problem.bytes_per_step - 8 <= sum(read) <= problem.bytes_per_step
    monkeypatch.setattr(bandwidth, "IN_PLACE_BYTES", problem.bytes_per_step + 1)
    reader = Reader.of(problem, 1)
    assert not any(np.shares_memory(v, problem.x) for v in arrays(reader))
    reader.close()


def arrays(reader: Reader) -> list[np.ndarray]:
    """Return all arrays that a reader reads."""
    values = [part.values for share in reader._work for part in share]
    return [v for v in values if isinstance(v, np.ndarray)] + [
        v for several in values if isinstance(several, tuple) for v in several
    ]


def test_a_reader_takes_the_way_that_was_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    nbytes = 2 * SMALLEST_BYTES
    known: dict[str, Way] = ways(nbytes)
    for fastest in known:
        bandwidth._known.clear()
        # Every way is timed once, and the fastest way four more times.
        tried = itertools.chain([float(name == fastest) for name in known], itertools.repeat(1))
        monkeypatch.setattr(Reader, "_try", lambda self, work, rates=tried: next(rates))
        reader = Reader.of_bytes(nbytes, 1)
        reader.close()
        assert reader.way == fastest
        (part,), expected = reader._work[0], known[fastest](np.ones(nbytes // 8), 1)
        assert type(part) is type(expected)
        assert getattr(part, "reduce", None) == getattr(expected, "reduce", None)
        for name in ("places", "ahead"):
            assert getattr(part, name, None) == getattr(expected, name, None)


def test_a_way_that_is_slow_at_first_gets_no_second_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = dict.fromkeys(ways(SMALLEST_BYTES), 1.0)
    slow, middle, *_ = rates
    rates |= {slow: 0.7, middle: 0.8}
    names, tried = list(rates), []

    def take(self: Reader, work: object) -> float:
        tried.append(name := names[len(tried)] if len(tried) < len(names) else "again")
        return rates.get(name, 0.5)

    monkeypatch.setattr(Reader, "_try", take)
    Reader.of_bytes(SMALLEST_BYTES, 1).close()
    assert len(tried) == len(names) + (bandwidth.TRIALS - 1) * (len(names) - 1)


def test_a_size_is_tried_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    fastest = Reader._fastest

    def counted(self: Reader, work: dict, trials: int) -> str:
        tried.append(trials)
        return fastest(self, work, trials)

    monkeypatch.setattr(Reader, "_fastest", counted)
    for _ in range(2):
        Reader.of_bytes(2 * SMALLEST_BYTES, 1).close()
    assert len(tried) == 1
    Reader.of_bytes(3 * SMALLEST_BYTES, 1).close()
    assert len(tried) == 2
