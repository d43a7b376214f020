"""The read curve in words, for ``doctor``."""

from __future__ import annotations

from bench.doctor.finding import Finding
from bench.host.limits import available_bytes, cpu_count
from bench.host.machine import caches, last_cache_bytes
from bench.measure.read_curve import Curve, flat_from, read_curve, sizes
from bench.show.text import byte_count

SEEN_THROUGH = 2.0
"""Ratio of the reported cache to the size from which reading is flat, above which no such
cache is at hand: with it, reading would be flat from five times its size on."""


def measured_caches() -> Finding:
    """Read data of many sizes, with all threads and with one; it takes a few seconds."""
    threads, reported = cpu_count(), last_cache_bytes({"caches": caches()})
    nbytes = sizes(reported, available_bytes())
    return in_words(read_curve(threads, nbytes), read_curve(1, nbytes), reported)


def in_words(together: Curve, alone: Curve, reported: int) -> Finding:
    """Say from which size on reading is flat, and whether the reported cache is there.

    Parameters
    ----------
    together, alone : sequence of tuple
        The read curves of all threads and of one: bytes and bytes/s.
    reported : int
        Bytes of the last cache that the system reports.
    """
    flat = flat_from(together)
    smallest, fast = together[0]
    slow, one = together[-1][1], alone[-1][1]
    found = (
        f"reading is as slow as it gets from {byte_count(flat)} on: {slow / 1e9:.3g} GB/s with "
        f"all threads, {one / 1e9:.3g} with one; {byte_count(smallest)} are read at "
        f"{fast / 1e9:.3g}. The system reports a last cache of {byte_count(reported)}"
    )
    if reported < SEEN_THROUGH * flat:
        return Finding("caches", found)
    advice = "nothing to do: pick goes by the measured curve, not by the reported cache"
    found = f"{found}, which is probably the host's: nothing of it shows"
    return Finding("caches", found, "note", advice)
