"""Measure the read curve, and describe it in words."""

from __future__ import annotations

from bench.doctor.finding import Finding
from bench.host.limits import available_bytes, cpu_count
from bench.host.machine import caches, last_cache_bytes
from bench.measure.read_curve import Curve, flat_from, read_curve, sizes
from bench.show.text import byte_count

SEEN_THROUGH = 2.0
"""Smallest ratio of the reported cache size to the size from which the read throughput is
constant, at which the reported cache counts as the host's. With a cache of the reported size,
the throughput would be constant only from five times this size on."""


def measured_caches() -> Finding:
    """Measure the read curves with all threads and with one thread, in a few seconds."""
    threads, reported = cpu_count(), last_cache_bytes({"caches": caches()})
    nbytes = sizes(reported, available_bytes())
    return in_words(read_curve(threads, nbytes), read_curve(1, nbytes), reported)


def in_words(together: Curve, alone: Curve, reported: int) -> Finding:
    """Describe from which size data are read from memory, and whether the cache is as reported.

    Parameters
    ----------
    together, alone : sequence of tuple
        The read curves of all threads and of one thread: pairs of bytes and bytes/s.
    reported : int
        Bytes of the last cache that the system reports.
    """
    flat = flat_from(together)
    smallest, fast = together[0]
    slow, one = together[-1][1], alone[-1][1]
    found = (
        f"data of {byte_count(flat)} or more are read from memory: {slow / 1e9:.3g} GB/s with "
        f"all threads, {one / 1e9:.3g} GB/s with one thread; {byte_count(smallest)} are read "
        f"at {fast / 1e9:.3g} GB/s. The system reports a last cache of {byte_count(reported)}"
    )
    if reported < SEEN_THROUGH * flat:
        return Finding("caches", found)
    advice = "nothing to do: pick uses the measured read curve, not the reported cache"
    found = f"{found}, which is probably the host's: the reads show no cache of this size"
    return Finding("caches", found, "note", advice)
