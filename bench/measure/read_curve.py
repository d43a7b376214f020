"""Measure the read curve: the speed at which this machine reads data, by size.

Reading slows down as the data outgrow the caches, and then stays constant. The size at which
the curve becomes flat shows how much cache is really available. The cache size that the system
reports is only a hint: a virtual machine may see its host's cache of 480 MB and get a small
share of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from scipy.optimize import isotonic_regression

from bench.host.limits import available_bytes
from bench.host.machine import last_cache_bytes
from bench.measure.bandwidth import Reduction, Values, largest
from bench.results.case import READ, Case
from bench.results.record import Measurement, Outcome

SMALLEST_BYTES = 1 << 19
"""First size of the curve: 512 kB, smaller than the last cache of any processor."""

LEAST_BYTES = 1 << 28
"""Smallest end of the curve: 256 MB, more than nearly every last cache."""

MOST_BYTES = 1 << 32
"""Largest end of the curve: 4 GB, which takes seconds to allocate; no cache holds a third of 4
GB."""

BEYOND_HINT = 4
"""End of the curve as a multiple of the reported cache, so that a cache of the reported size is
visible in the curve."""

ROUND_BYTES = 1 << 26
"""Bytes of one timed read: 64 MB take about a millisecond, long compared with waking
threads."""

PASSES = 3
"""Number of interleaved passes over the sizes. The fastest pass counts, because disturbances
only slow reading down."""

FLAT = 0.8
"""Reading counts as flat from the size at which a byte takes 80 % of its time at the last
size."""

SECONDS = 4.0
"""Time in seconds after which no further pass starts; a pass over slow memory takes seconds."""

TASK = "read curve"
"""Name of the task in a record that holds the curve of all threads."""

ROW_BYTES = 8
"""Bytes of a row in the cases that represent the sizes: one float32 feature and y."""

Curve = Sequence[tuple[int, float]]
"""Pairs of bytes and bytes per second, by ascending size."""


def sizes(reported_cache_bytes: int, may_use: int) -> list[int]:
    """Return the sizes of the curve in bytes; each size is twice the previous one."""
    most = min(max(LEAST_BYTES, BEYOND_HINT * reported_cache_bytes), MOST_BYTES, may_use // 4)
    found = [SMALLEST_BYTES]
    while 2 * found[-1] <= most:
        found.append(2 * found[-1])
    return found


def read_curve(threads: int, nbytes: Sequence[int]) -> list[tuple[int, float]]:
    """Read arrays of the given sizes with `threads` threads; return bytes/s for each size."""
    words = np.ones(nbytes[-1] // 8, np.int64)
    fastest = dict.fromkeys(nbytes, 0.0)
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(PASSES):
            for size in nbytes:
                parts = list(_parts(words[: size // 8], threads))
                fastest[size] = max(fastest[size], _rate(pool, parts))
            if time.perf_counter() - began > SECONDS:
                break
    return sorted(fastest.items())


def _parts(words: Values, threads: int) -> Iterator[Reduction]:
    """Yield one slice for each thread, repeated up to `ROUND_BYTES` in total."""
    passes = max(1, ROUND_BYTES // words.nbytes)
    ends = [len(words) * k // threads for k in range(threads + 1)]
    for start, stop in pairwise(ends):
        yield largest(words[start:stop], passes)


def _rate(pool: ThreadPoolExecutor, parts: Sequence[Reduction]) -> float:
    began = time.perf_counter()
    for _ in pool.map(lambda part: part(), parts):
        pass
    return sum(part.nbytes for part in parts) / (time.perf_counter() - began)


def flat_from(curve: Curve) -> int:
    """Return the size in bytes from which reading is flat."""
    seconds_a_byte = isotonic_regression([1 / rate for _, rate in curve]).x
    flat = seconds_a_byte >= FLAT * seconds_a_byte[-1]
    return curve[int(np.argmax(flat))][0]


def measure_read_curve(threads: int, machine: dict[str, object]) -> dict[str, Outcome]:
    """Read with all threads and with one thread; return the tasks for a record."""
    nbytes = sizes(last_cache_bytes(machine), available_bytes())
    tasks = {TASK: _outcome(read_curve(threads, nbytes), threads)}
    if threads > 1:
        tasks[f"{TASK}, one core"] = _outcome(read_curve(1, nbytes), 1)
    return tasks


def _outcome(curve: Curve, threads: int) -> Outcome:
    return Outcome(
        tuple(
            Measurement(
                READ,
                str(Case(READ, size // ROW_BYTES, 1, "float32")),
                (size / rate,),
                1,
                {"bytes": size, "threads": threads},
            )
            for size, rate in curve
        )
    )


def curve_of(outcome: Outcome) -> list[tuple[int, float]]:
    """Return the curve in an outcome, by ascending size; empty if the outcome has no curve."""
    reads = [m for m in outcome.measurements if m.kind == READ]
    return sorted((m.info["bytes"], m.info["bytes"] / m.seconds[0]) for m in reads)
