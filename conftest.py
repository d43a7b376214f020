"""Let ``pytest`` run the tests, and ``pytest --benchmark-only`` the benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# By default, JAX takes most of a GPU's memory. Here PyTorch needs some in the same process.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

ROOT = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore benchmarks, or tests with ``--benchmark-only``, unless a path was given."""
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return None
    other = "tests" if config.getoption("benchmark_only") else "bench"
    return ROOT / other in collection_path.parents or None
