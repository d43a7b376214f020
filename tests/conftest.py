"""Let tests use the usual block sizes; fail tests that change the process's processors."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("DESCENTBENCH_TUNE", "off")


@pytest.fixture(scope="session", autouse=True)
def numba_threads() -> None:
    """Start all of Numba's threads before a test limits them: none can be added later."""
    try:
        import numba
    except Exception:  # Numba is optional and may be broken
        return
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.fixture(autouse=True)
def all_processors() -> Iterator[None]:
    """Fail a test that changes which processors this process may use.

    The option ``--threads`` does so. The fixture restores them for the next test.
    """
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    yield
    after = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before)
    assert after == before
