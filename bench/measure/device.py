"""Measure how fast a GPU reads its memory: the baseline of a step on this GPU.

A `DeviceReader` tries a few ways of reading and uses the fastest. The ways differ little: an
H100 reads 1 GB at 3.03 to 3.11 TB/s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

DEVICE_BYTES = 1 << 28
"""Smallest data size in bytes for which reads of a GPU's memory are timed beside the steps: 256
MiB, more than the caches of a GPU hold."""

_CALL_BYTES = 1 << 35
"""Approximate number of bytes that a `DeviceReader` reads in one timed call: 32 GiB. A fast
GPU reads them in 10 ms, so the time for synchronising with the GPU hardly counts."""

_MOST_BYTES = 1 << 31
"""Largest size in bytes of the array that a `DeviceReader` reads: 2 GiB. Larger arrays are read
no faster, and the benchmark's data need the rest of the memory."""

_TRIALS = 3
"""How many times each way of reading is timed before the fastest way is chosen."""

Way = Callable[[int], int]
"""A way of reading: ``way(times)`` reads the bytes repeatedly, waits for the device, and
returns the number of reads, which is `times` or more."""


class DeviceReader:
    """Reads `nbytes` bytes of a GPU's memory in the fastest of the given ways.

    The constructor times each way of reading.

    Parameters
    ----------
    ways : sequence of callable
        The ways of reading; see `Way`.
    nbytes : int
        Size in bytes of the array that each way reads.
    """

    way = "on the device"

    def __init__(self, ways: Sequence[Way], nbytes: int) -> None:
        self.nbytes = nbytes
        self.passes = max(1, _CALL_BYTES // nbytes)
        for way in ways:
            way(1)  # the first call compiles
        self._way = max(ways, key=lambda way: max(self._rate(way) for _ in range(_TRIALS)))

    @classmethod
    def of(cls, library: str, device: str, nbytes: int) -> DeviceReader | None:
        """Return a reader of the memory of a GPU.

        The result is None if `device` is not a GPU, or if `library` is not a key of `WAYS`.
        """
        ways = WAYS.get(library)
        if ways is None or not device.startswith("cuda"):
            return None
        nbytes = min(nbytes, _MOST_BYTES)
        return cls(ways(device, nbytes), nbytes)

    def bytes_per_s(self) -> float:
        """Read the array on the GPU several times and return the speed in bytes per second."""
        return self._rate(self._way)

    def _rate(self, way: Way) -> float:
        began = time.perf_counter()
        passes = way(self.passes)
        return passes * self.nbytes / (time.perf_counter() - began)

    def close(self) -> None:
        """Release the array on the GPU."""
        del self._way


def _by_torch(device: str, nbytes: int) -> list[Way]:
    import torch

    values = torch.rand(nbytes // 4, dtype=torch.float32, device=device)
    halves = values[: len(values) // 2 * 2].view(2, -1)
    reads: list[Callable[[], object]] = [
        values.sum,
        values.amax,
        lambda: torch.dot(halves[0], halves[1]),
    ]
    if find_spec("triton"):
        from bench.measure.triton_read import reading

        reads.append(reading(values))

    def often(read: Callable[[], object]) -> Way:
        def way(passes: int) -> int:
            for _ in range(passes):
                read()
            torch.cuda.synchronize(device)
            return passes

        return way

    return [often(read) for read in reads]


_AT_ONCE = 16
"""Number of reads in one call of a compiled JAX function: 16, so that the time for starting a
call is small compared with the reads."""


def _by_jax(device: str, nbytes: int) -> list[Way]:
    import jax
    import jax.numpy as jnp

    from backends.jax.devices import named_devices

    there = named_devices()[device]
    values = jnp.arange(nbytes // 4, dtype=jnp.float32, device=there)
    start = jnp.zeros((), jnp.float32, device=there)

    def often(read: Callable[[jax.Array], jax.Array]) -> Way:
        @jax.jit
        def some(values: jax.Array, before: jax.Array) -> jax.Array:
            for _ in range(_AT_ONCE):  # each read depends on the result of the previous read
                before = read(values + 0 * before)
            return before

        def way(passes: int) -> int:
            found, calls = start, -(-passes // _AT_ONCE)
            for _ in range(calls):
                found = some(values, found)
            found.block_until_ready()
            return calls * _AT_ONCE

        return way

    return [often(jnp.sum), often(jnp.max)]


WAYS: dict[str, Callable[[str, int], list[Way]]] = {"torch": _by_torch, "jax": _by_jax}
"""For each library, a function that returns the library's ways of reading a GPU's memory. The
function's arguments are the name of the device and the size of the array in bytes."""
