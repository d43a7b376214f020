"""Test the kernel in C: w is right for all shapes, and without a compiler it is left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backends import generate
from backends.problem import DTYPES, TOLERANCE
from backends.reference import relative_error
from bench.measure import native
from bench.measure.native import Kernel, NativeError, build

RATE = 0.001

try:
    build()
    MISSING = ""
except NativeError as error:
    MISSING = str(error)

needs_kernel = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def start(features: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-3, 3, features)


@pytest.fixture
def parallel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use all threads even for small data."""
    monkeypatch.setattr(native, "SERIAL_BYTES", 0)


# what it computes


@needs_kernel
@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("rows", "features"),
    [(1, 1), (2, 5), (1009, 1), (100_003, 1), (1009, 2), (1009, 7), (20_011, 32), (303, 500)],
)
def test_iterates_equal_the_reference(
    rows: int, features: int, dtype: str, threads: int
) -> None:
    """Compare w with the reference. The sizes are prime, so that blocks are incomplete.

    With one row, most threads have nothing to do.
    """
    problem = generate(rows, features, dtype)
    kernel = Kernel(problem, RATE, threads)
    for w0 in (np.zeros(features), start(features)):
        for steps in (0, 1, 2, 17):
            w = kernel.run(w0, steps)
            assert (w.dtype, w.shape) == (np.float64, (features,))
            expected = problem.reference.iterate(steps, RATE, w0)
            assert relative_error(w, expected) <= TOLERANCE[dtype], steps


@needs_kernel
@pytest.mark.usefixtures("parallel")
@pytest.mark.parametrize("features", [1, 7])
def test_runs_are_repeatable_continue_and_leave_the_start_alone(features: int) -> None:
    kernel = Kernel(generate(10_007, features), RATE, 2)
    w0 = start(features)
    before, w = w0.copy(), kernel.run(w0, 7)
    for _ in range(10):
        assert np.array_equal(kernel.run(w0, 7), w)
    assert np.array_equal(kernel.run(kernel.run(w0, 3), 4), w)
    assert np.array_equal(w0, before)


@needs_kernel
@pytest.mark.usefixtures("parallel")
def test_what_is_not_finite_stays_so() -> None:
    kernel = Kernel(generate(1009, 3), RATE, 2)
    assert np.isnan(kernel.run([np.nan, 0, 0], 1)).all()
    assert not np.isfinite(kernel.run([np.inf, 0, 0], 1)).any()


# where it cannot be built


@pytest.fixture
def unbuilt() -> Iterator[None]:
    """Forget which kernels were compiled, before and after the test."""
    build.cache_clear()
    yield
    build.cache_clear()


@pytest.fixture
def compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuilt: None) -> Path:
    """A new, empty folder that is the only folder in PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def failing(path: Path) -> None:
    path.write_text("#!/bin/sh\necho 'native.c: no omp.h' >&2\necho 'and more' >&2\nexit 1\n")
    path.chmod(0o755)


def test_no_compiler_is_a_reason(compilers: Path) -> None:
    with pytest.raises(NativeError, match=r"^there is no C compiler here \(cc, gcc, clang\)$"):
        build()


@pytest.mark.parametrize("names", [["gcc"], ["clang", "cc"]])
def test_so_is_what_the_compilers_complain_of(compilers: Path, names: list[str]) -> None:
    for name in names:
        failing(compilers / name)
    with pytest.raises(NativeError, match=r"builds the kernel: native\.c: no omp\.h$"):
        Kernel(generate(10), RATE, 1)


def test_so_is_a_compiler_that_hangs(compilers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = compilers / "cc"
    program.write_text("#!/bin/sh\nwhile :; do :; done\n")
    program.chmod(0o755)
    monkeypatch.setattr(native, "COMPILER_SECONDS", 0.2)
    with pytest.raises(NativeError, match=r"timed out after 0\.2 seconds$"):
        build()


@needs_kernel
def test_the_next_compiler_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbuilt: None
) -> None:
    failing(tmp_path / "cc")
    monkeypatch.setattr(native, "COMPILERS", (str(tmp_path / "cc"), *native.COMPILERS))
    problem = generate(100)
    w = Kernel(problem, RATE, 1).run([0.0], 1)
    assert relative_error(w, problem.reference.iterate(1, RATE, [0.0])) <= TOLERANCE["float32"]
