"""Let tests use the usual block sizes, and check that they restore the process's settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("DESCENTBENCH_TUNE", "off")


@pytest.fixture(scope="session", autouse=True)
def numba_threads() -> None:
    """Start all of Numba's threads at first, because later calls cannot add threads."""
    try:
        import numba
    except Exception:  # optional, and it may be broken
        return
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(autouse=True)
def all_processors() -> Iterator[None]:
    """Fail a test that changes the processors of this process, as ``--threads`` does."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    yield
    after = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before)
    assert after == before
