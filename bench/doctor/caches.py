"""Measure the read curve (the read speed at each data size), and describe it in words."""

from __future__ import annotations

from bench.doctor.finding import Finding
from bench.host.limits import available_bytes, cpu_count
from bench.host.machine import caches, last_cache_bytes
from bench.measure.read_curve import Curve, flat_from, read_curve, sizes
from bench.show.text import byte_count

SEEN_THROUGH = 2.0
"""A cache that the system reports is probably not available if it is this many times too large.

The reported size is divided by the data size from which the read speed is constant. With a
cache of the reported size, the read speed would be constant only from 5 times this size on.
"""


def measured_caches() -> Finding:
    """Measure the read speed with all threads and with one thread; describe it in a finding.

    This takes a few seconds.
    """
    threads, reported = cpu_count(), last_cache_bytes({"caches": caches()})
    nbytes = sizes(reported, available_bytes())
    return in_words(read_curve(threads, nbytes), read_curve(1, nbytes), reported)


def in_words(together: Curve, alone: Curve, reported: int) -> Finding:
    """Describe the size from which data are read from memory, and judge the reported cache.

    Parameters
    ----------
    together, alone : sequence of tuple
        Read curves of all threads and of one thread: pairs of data size in bytes and throughput
        in bytes/s.
    reported : int
        Size in bytes of the last cache, as the system reports it.
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
