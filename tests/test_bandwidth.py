"""The read: every way reads every word once a pass, and says how many bytes it read."""

from __future__ import annotations

import numpy as np
import pytest

from bench.bandwidth import WAYS, Reader, largest, sums, sums_of_halves

PAIR = 2 << 10
"""Words in a chunk of both halves."""


@pytest.mark.parametrize("length", [1, 1000, PAIR, 5 * PAIR, 5 * PAIR + 7])
def test_every_way_reads_every_word_once_a_pass(length: int) -> None:
    words = np.arange(length, dtype=np.int64) % 100
    passes = 3
    kept = length // PAIR * PAIR
    for way, whole, of in (
        (sums, words.sum(), length),
        (sums_of_halves, words[:kept].sum(), kept),
    ):
        work = way(words, passes)
        work()
        totals = work.results.reshape(passes, -1).sum(axis=1)
        assert totals.tolist() == [whole] * passes
        assert work.values.nbytes == 8 * passes * of
    work = largest(words, passes)
    work()
    assert work.results.tolist() == [words.max()] * passes
    assert work.values.nbytes == 8 * passes * length


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("nbytes", [800, 100_000, 3_000_000, 200_000_000])
def test_a_reader_tells_what_it_reads(nbytes: int, threads: int) -> None:
    reader = Reader(nbytes, threads)
    reader()
    reader.close()
    assert nbytes - 8 * PAIR * threads < reader.nbytes <= nbytes
    assert reader.nbytes > 0
    assert reader.passes == max(1, 2**27 // nbytes)


def test_a_reader_takes_the_way_that_was_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    for fastest in range(len(WAYS)):
        rates = iter([float(k % len(WAYS) == fastest) for k in range(100)])
        monkeypatch.setattr(Reader, "_try", lambda self, way, rates=rates: next(rates))
        reader = Reader(1_000_000, 1)
        (work,), (expected,) = reader._way, [WAYS[fastest](np.ones(125_000, np.int64), 1)]
        reader.close()
        assert work.reduce == expected.reduce
        assert work.values.shape[1:] == expected.values.shape[1:]
