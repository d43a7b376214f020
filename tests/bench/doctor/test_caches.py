"""Test what ``doctor`` says about the caches."""

from __future__ import annotations

import pytest

from bench.doctor.caches import in_words

MIB = 1 << 20


@pytest.mark.parametrize(("cache", "level"), [(0, "note"), (480, "good")])
def test_a_hosts_cache_is_told_from_ones_own(cache: int, level: str) -> None:
    """Check that a reported cache of 480 MB counts only if it makes small reads faster."""
    sizes = [MIB << k for k in range(12)]
    curve = [(n, 10e9 * (4 if n <= cache * MIB else 1)) for n in sizes]
    finding = in_words(curve, curve, 480 * MIB)
    assert (finding.topic, finding.level) == ("caches", level)
    assert bool(finding.mend) == (level == "note")
    assert ("probably the host's" in finding.found) == (level == "note")
    assert "10 GB/s with all threads, 10 GB/s with one thread" in finding.found
    assert "reports a last cache of 503 MB" in finding.found
