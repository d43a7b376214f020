"""Measure how fast data of several sizes are read, to check the reported cache size."""

from __future__ import annotations

from bench.doctor.finding import Finding
from bench.host.limits import available_bytes, cpu_count
from bench.host.machine import caches, last_cache_bytes
from bench.measure.read_curve import Curve, flat_from, read_curve, sizes
from bench.show.text import byte_count

SEEN_THROUGH = 2.0
"""Ratio of two sizes: 2. If data of n bytes are already read from memory instead of a cache, a
reported cache size of 2·n bytes or more is considered wrong."""


def measured_caches() -> Finding:
    """Measure how fast data of several sizes are read; return a finding about the caches.

    The measurement takes a few seconds.
    """
    threads, reported = cpu_count(), last_cache_bytes({"caches": caches()})
    nbytes = sizes(reported, available_bytes())
    return in_words(read_curve(threads, nbytes), read_curve(1, nbytes), reported)


def in_words(together: Curve, alone: Curve, reported: int) -> Finding:
    """Return a finding about the caches, from two measured read curves.

    The finding says how large data must be to be read from memory instead of a cache. The
    finding is a note if the system reports a cache that is much larger than the curves show.

    Parameters
    ----------
    together, alone : sequence of tuple
        Read curves of all threads and of one thread: pairs of data size in bytes and throughput
        in bytes/s.
    reported : int
        Size in bytes of the largest cache, as the system reports it.
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
