"""Measure the read curve: how fast this machine reads data, by the size of the data.

Data in a cache are read faster than data in memory. For data much larger than the caches, the
speed no longer depends on the size: the curve is flat. The size at which the curve becomes flat
shows how much cache this machine can really use. A virtual machine often reports a larger
cache, which it shares with other virtual machines.
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
"""Smallest array that the read curve measures, in bytes: 512 KiB.

The last-level cache of every processor is larger.
"""

LEAST_BYTES = 1 << 28
"""If enough memory is free, the read curve ends with an array of at least this size in bytes:
256 MiB, larger than almost every cache."""

MOST_BYTES = 1 << 32
"""Largest array that the read curve measures, in bytes: 4 GiB.

It is much larger than every cache. Larger arrays take long to allocate.
"""

BEYOND_HINT = 4
"""Largest array of the read curve ÷ size of the cache that the system reports.

With 4, the largest array does not fit into the cache, and the curve is flat at its end.
"""

ROUND_BYTES = 1 << 26
"""Number of bytes in one timed read: 64 MiB, so that the read takes much longer than starting
the threads."""

PASSES = 3
"""Largest number of times that each size is measured. The fastest measurement counts, because
other programs can only make a read slower."""

FLAT = 0.8
"""The read curve counts as flat where the time per byte is at least 80 % of the time per byte
at the largest size."""

SECONDS = 4.0
"""Time limit in seconds: 4 s after the start, no further pass over the array sizes begins.

On a machine with slow memory, measuring every size once takes seconds.
"""

TASK = "read curve"
"""Name under which a result file stores the read curve that was measured with all threads."""

ROW_BYTES = 8
"""Size in bytes of a row with one float32 feature and a float32 y.

A result file stores each size of the read curve as a benchmark case with such rows. An array of
1 MiB is stored as a case with 131,072 rows.
"""

Curve = Sequence[tuple[int, float]]
"""Pairs (size in bytes, bytes per second), by ascending size."""


def sizes(reported_cache_bytes: int, may_use: int) -> list[int]:
    """Return the array sizes that the read curve measures, in bytes.

    Each size is twice the previous size. The parameter `may_use` is the available memory in
    bytes; the largest array takes at most a quarter of it.
    """
    most = min(max(LEAST_BYTES, BEYOND_HINT * reported_cache_bytes), MOST_BYTES, may_use // 4)
    found = [SMALLEST_BYTES]
    while 2 * found[-1] <= most:
        found.append(2 * found[-1])
    return found


def read_curve(threads: int, nbytes: Sequence[int]) -> list[tuple[int, float]]:
    """Read arrays of several sizes with `threads` threads; return the speed for each size.

    Parameters
    ----------
    threads : int
    nbytes : sequence of int
        Sizes of the arrays in bytes, ascending.

    Returns
    -------
    list of (int, float)
        Pairs (size in bytes, bytes per second), by ascending size.
    """
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
    """Yield for each thread a function that reads the thread's slice several times.

    Together, the threads read about `ROUND_BYTES`.
    """
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
    """Return the smallest size in bytes at which the read curve is flat.

    At this size, reading a byte takes nearly as long (`FLAT`) as at the largest size.
    """
    seconds_a_byte = isotonic_regression([1 / rate for _, rate in curve]).x
    flat = seconds_a_byte >= FLAT * seconds_a_byte[-1]
    return curve[int(np.argmax(flat))][0]


def measure_read_curve(threads: int, machine: dict[str, object]) -> dict[str, Outcome]:
    """Measure how fast arrays of several sizes are read: with all threads, and with one.

    The keys of the result are the names of these two measurements in a result file. The values
    are the measured curves, in the form that a result file stores.
    """
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
    """Return the read curve of a task's outcome as pairs (size, seconds), smallest size first.

    The result is empty if the outcome has no curve.
    """
    reads = [m for m in outcome.measurements if m.kind == READ]
    return sorted((m.info["bytes"], m.info["bytes"] / m.seconds[0]) for m in reads)
