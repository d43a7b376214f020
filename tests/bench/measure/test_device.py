"""Test the baseline of a GPU and its reading kernel, on a machine without a GPU."""

from __future__ import annotations

import time

from bench.measure.device import DeviceReader, Way

NBYTES = 1 << 30


def way(seconds: float, at_once: int = 1) -> Way:
    """Return a simulated way to read memory, in which a pass takes `seconds`.

    It always makes a multiple of `at_once` passes.
    """

    def read(passes: int) -> int:
        done = -(-passes // at_once) * at_once
        time.sleep(seconds * done)
        return done

    return read


def test_the_fastest_way_is_kept_and_its_own_passes_are_counted() -> None:
    """Check that all passes of the fastest way count: it makes 48 instead of 32 passes."""
    fast = way(0.001, at_once=48)
    reader = DeviceReader([way(0.004), fast, way(0.006)], NBYTES)
    assert reader.passes == 32
    assert NBYTES / 0.004 < reader.bytes_per_s() <= NBYTES / 0.001


def test_a_library_without_a_read_has_no_baseline() -> None:
    assert DeviceReader.of("unknown", "cuda:0", NBYTES) is None


def test_another_cpu_device_is_no_gpu() -> None:
    assert DeviceReader.of("jax", "cpu:1", NBYTES) is None
