"""Tests use every technique's usual block sizes, and leave this process as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("DESCENTBENCH_TUNE", "off")


@pytest.fixture(scope="session", autouse=True)
def numba_threads() -> None:
    """Start all of Numba's threads before a test asks for fewer: none can be added later."""
    try:
        import numba
    except Exception:  # optional, and it may be broken
        return
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(autouse=True)
def all_processors() -> Iterator[None]:
    """Fail a test that leaves fewer processors to the tests after it, as ``--threads`` does."""
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    yield
    after = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before)
    assert after == before
