"""Test the sizes that ``pick --verify`` measures."""

from __future__ import annotations

from bench.pick.known import Known, Setting
from bench.pick.recommend import Request
from bench.pick.throughput import MemoryThroughput
from bench.pick.verification import held_out_sizes


def test_the_sizes_fit_in_this_machine() -> None:
    """Fixed bug: ``--memory 1TB`` was the limit on a machine with less memory."""
    host = 80_000
    request = Request(10**9, 1, 1, "float32", {"cpu": 10**12})
    setting = Setting(request, (), {}, "code", 2, host, {})
    known = Known(setting, 60.0, {}, MemoryThroughput(32 << 20), has_curve=True, at_least={})
    assert max(known.nbytes(rows) for rows in held_out_sizes(known)) <= host
