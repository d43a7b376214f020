"""Numba: loops written in Python, compiled in nopython mode for the processor."""

from __future__ import annotations

from collections.abc import Mapping

import numba as numba

from backends.losses import LOSSES, Loss


def devices(technique: str) -> Mapping[str, str]:
    """Return the CPU, the only device for which Numba compiles here."""
    return {"cpu": ""}


def peak_device_bytes(device: str) -> int | None:
    """Return None, because the CPU has no device memory of its own."""
    return None


def refusal(technique: str, loss: Loss) -> str:
    """Return why Numba cannot compile a loss; "" if Numba can compile it."""
    from backends.numba.pointwise import failure

    for part in ("slope", "value"):
        if reason := failure(getattr(loss, part)):
            return f"Numba cannot compile the {part} of {loss.name}: {reason}"
    return ""


def note(technique: str, device: str, loss: Loss) -> str:
    """Return why a loss's slope is computed row by row; "" if it is computed on SIMD vectors.

    The slope is the derivative of the loss with respect to the prediction.
    """
    from backends.numba.pointwise import failure, slope_of
    from backends.numba.vectors import EXAMPLE

    if technique != "parallel" or loss in LOSSES.values():
        return ""
    reason = failure(slope_of(loss), EXAMPLE)
    return f"computes the slope row by row, not on vectors: {reason}" if reason else ""
