"""Test threads that each sum one share of the rows with PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from backends import generate, longrows

RATE = 0.001


def test_torchs_shares_take_one_thread_each_and_leave_the_others_as_they_were() -> None:
    """Check that each thread uses one PyTorch thread, and that other threads' settings stay."""
    torch = pytest.importorskip("torch")
    from backends.torch.threads import single_threaded

    before = torch.get_num_threads()
    pool = single_threaded(2)

    def threads_within(_: int) -> int:
        (torch.ones(1 << 20) + 1).sum()
        return int(torch.get_num_threads())

    calls = [pool.submit(threads_within, number) for number in range(8)]
    assert [call.result() for call in calls] == [1] * 8
    assert torch.get_num_threads() == before


def test_torchs_shares_come_to_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the gradient with the reference for chunks stored by column, by row, or copied.

    The rows are in ten chunks, and the last chunk has fewer rows.
    """
    pytest.importorskip("torch")
    from backends.torch.analytic import Analytic

    for features, copied in ((3, False), (20, False), (20, True)):
        problem = generate(9999, features)
        monkeypatch.setattr(Analytic, "CHUNK_BYTES", 1000 * features * 4)
        if copied:
            monkeypatch.setattr(longrows, "LONG_BYTES", 0)
            monkeypatch.setattr(longrows, "FAR_BYTES", 0)
            monkeypatch.setattr(longrows, "COLUMN_BYTES", 79)
        descent = Analytic(problem, RATE, "cpu")
        chunks = [chunk for share in descent.sums.shares for chunk in share]
        assert {chunk.copied_from is not None for chunk in chunks} == {copied}
        assert len(chunks) == 10
        w0 = np.linspace(-1, 1, features)
        np.testing.assert_allclose(
            descent.gradient(w0), problem.reference.gradient(w0) * 9999 / 2, rtol=1e-4
        )


def test_long_rows_in_memory_are_usually_stored_by_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check that long rows are stored by column in all ten chunks, without a copy."""
    pytest.importorskip("torch")
    from backends.torch.analytic import Analytic

    problem = generate(9999, 100)
    monkeypatch.setattr(longrows, "FAR_BYTES", 0)
    monkeypatch.setattr(Analytic, "CHUNK_BYTES", 1000 * 100 * 4)
    monkeypatch.setenv("DESCENTBENCH_TUNE", "off")
    descent = Analytic(problem, RATE, "cpu")
    chunks = [chunk for share in descent.sums.shares for chunk in share]
    assert sorted(len(chunk.y) for chunk in chunks) == [999, *[1000] * 9]
    assert all(chunk.across.is_contiguous() and chunk.copied_from is None for chunk in chunks)
    w0 = np.linspace(-1, 1, 100)
    np.testing.assert_allclose(
        descent.gradient(w0), problem.reference.gradient(w0) * 9999 / 2, rtol=1e-4
    )
