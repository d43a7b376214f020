"""Numba: loops written in Python, compiled in nopython mode for the processor."""

from __future__ import annotations

from collections.abc import Mapping

import numba as numba


def devices(technique: str) -> Mapping[str, str]:
    """Return the one device, Numba's CPU target."""
    return {"cpu": ""}


def peak_device_bytes(device: str) -> int | None:
    """Return None, because the CPU has no device memory of its own."""
    return None
