"""Test that threads sum all shares of a step, and that the calling thread takes a share."""

from __future__ import annotations

import re
import threading
import time
import weakref
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import backends
from backends import Backend, generate, open_backend
from backends.problem import DTYPES, TOLERANCE
from backends.reference import relative_error
from backends.threads import Threads, in_threads, torch_alone

BACKENDS = Path(backends.__file__).parent

RATE = 0.001
ROWS = 1009
"""A prime number, so that blocks and threads get unequal numbers of rows."""


def test_parts_are_in_their_order_and_the_first_is_the_callers() -> None:
    def slow_at_first(share: int) -> tuple[int, int]:
        time.sleep(0.01 * (3 - share))
        return share, threading.get_ident()

    shares, threads = zip(*in_threads(slow_at_first, range(4)), strict=True)
    assert shares == (0, 1, 2, 3)
    assert threads[0] == threading.get_ident()
    assert threading.get_ident() not in threads[1:]


def test_one_share_wakes_nobody() -> None:
    assert in_threads(lambda _: threading.get_ident(), [0]) == [threading.get_ident()]


@pytest.mark.parametrize("broken", [0, 1, 3])
def test_what_a_share_raises_is_raised(broken: int) -> None:
    def fail(share: int) -> int:
        return 1 // (share - broken)

    with pytest.raises(ZeroDivisionError):
        in_threads(fail, range(4))


def test_waiting_threads_hold_no_data() -> None:
    """Check that an idle thread keeps no reference to the arrays of its last step."""

    class Data:
        pass

    data = [Data(), Data()]
    kept = weakref.ref(data[1])
    assert in_threads(lambda share: 1, data) == [1, 1]
    data.clear()
    until = time.monotonic() + 10
    while kept() is not None and time.monotonic() < until:
        time.sleep(0.001)  # a thread frees its share after it returned the result
    assert kept() is None


def test_a_thread_serves_several_callers_at_once() -> None:
    both_run = threading.Barrier(2)

    def caller(number: int) -> list[int]:
        both_run.wait()
        return [sum(in_threads(lambda share: share + number, [1, 2])) for _ in range(100)]

    first = Threads(1).submit(caller, 10)
    assert caller(20) == [43] * 100
    assert first.result() == [23] * 100


# the techniques that use them

SHARED = {
    "numpy:blocked": (
        "numpy.blocked",
        {"Blocked.SERIAL_BYTES": 0, "Blocked.BLOCK_BYTES": 1024},
    ),
    "numpy:gram": ("numpy.gram", {"Gram.BLOCK_BYTES": 1024, "Gram.MANY_ROWS": 1}),
    "torch:analytic": ("torch.analytic", {"Analytic.CHUNK_BYTES": 1024}),
    "torch:gram": ("torch.gram", {"Gram.LINE_BYTES": 1024, "Gram.CHUNK_BYTES": 1024}),
    "jax:blocked": ("jax.blocked", {"Blocked.SERIAL_BYTES": 0}),
    "jax:gram": ("jax.gram", {"GRAM_BYTES": 1024, "LINE_ROWS": 512}),
}
"""Technique → its module, and constants so small that little data are divided into shares."""


def test_every_technique_with_shares_is_tested() -> None:
    """Check that `SHARED` names every module that divides a step into shares."""
    calling = [
        ".".join(path.relative_to(BACKENDS).with_suffix("").parts)
        for path in BACKENDS.glob("*/*.py")
        if path.stem != "threads"
        and re.search(r"\bin_(threads|shares)\(", path.read_text(encoding="utf-8"))
    ]
    assert sorted(calling) == sorted(module for module, _ in SHARED.values())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 7, 100])
@pytest.mark.parametrize("name", SHARED)
def test_every_share_is_summed(
    name: str, features: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = name.partition(":")[0]
    backend = open_or_skip(name)
    module, small = SHARED[name]
    for what, value in small.items():
        monkeypatch.setattr(f"backends.{module}.{what}", value)
    data = generate(ROWS, features, dtype)
    w = np.random.default_rng(1).uniform(-3, 3, features)
    for threads in (1, 2, 3):
        if library == "torch":
            deal = partial(dealt, threads)
            monkeypatch.setattr(f"backends.{module}.in_shares", deal)
        else:
            threads_of = "most_threads" if library == "numpy" else "processors"
            monkeypatch.setattr(
                f"backends.{module}.{threads_of}", lambda threads=threads: threads
            )
        descent = backend.place(data, RATE)
        got = descent.gradient(w) * 2 / ROWS
        assert relative_error(got, data.reference.gradient(w)) <= TOLERANCE[dtype]
        expected = data.reference.iterate(10, RATE, w)
        assert relative_error(descent.run(w, 10), expected) <= TOLERANCE[dtype]


def dealt(threads: int, chunks: list[object]) -> list[list[object]]:
    return [chunks[i::threads] for i in range(threads)]


def open_or_skip(name: str) -> Backend:
    library = name.partition(":")[0]
    pytest.importorskip(library, reason=f"{library} is not installed")
    return open_backend(name)


def test_torch_gets_its_threads_back() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")

    def fails() -> None:
        with torch_alone():
            assert torch.get_num_threads() == 1
            raise ArithmeticError

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ArithmeticError):
            fails()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
