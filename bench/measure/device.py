"""The yardstick of a GPU: how fast it reads its own memory.

A library's reductions read within a few percent of each other: of 1 GB an H100 reads 3.04
to 3.07 TB/s by PyTorch's, 3.03 by JAX's, and 3.11 by a loop in Triton that does nothing
else. So a `DeviceReader` tries a few and keeps the best.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec

_CALL_BYTES = 1 << 35
"""What a call reads at the least: on a fast device 10 ms, long against its waiting."""

_MOST_BYTES = 1 << 31
"""More are read no faster, and take memory that the data may need."""

_TRIALS = 3

Way = Callable[[int], int]
"""Reads the bytes so many times over, or some more, and returns how often when it is done."""


class DeviceReader:
    """Reads `nbytes` bytes of a device's memory, in the fastest of some ways.

    Parameters
    ----------
    ways : sequence of callable
        See `Way`.
    nbytes : int
        What each reads at a time.
    """

    def __init__(self, ways: Sequence[Way], nbytes: int) -> None:
        self.nbytes = nbytes
        self.passes = max(1, _CALL_BYTES // nbytes)
        for way in ways:
            way(1)  # it compiles
        self._way = max(ways, key=lambda way: max(self._rate(way) for _ in range(_TRIALS)))

    @classmethod
    def of(cls, library: str, device: str, nbytes: int) -> DeviceReader | None:
        """Read by means of the library that has the GPU; None where none are known."""
        ways = WAYS.get(library)
        if ways is None or not device.startswith("cuda"):
            return None
        nbytes = min(nbytes, _MOST_BYTES)
        return cls(ways(device, nbytes), nbytes)

    def bytes_per_s(self) -> float:
        """Read everything some times over, and return at what pace."""
        return self._rate(self._way)

    def _rate(self, way: Way) -> float:
        began = time.perf_counter()
        passes = way(self.passes)
        return passes * self.nbytes / (time.perf_counter() - began)

    def close(self) -> None:
        """Give the memory back."""
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
"""Reads in one call of JAX's, which takes as long as to read 300 MB."""


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
            for _ in range(_AT_ONCE):  # each needs what the one before it found
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
"""By library: how it reads so many bytes on a device."""
