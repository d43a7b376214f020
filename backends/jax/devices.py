"""List JAX's devices, and measure their memory."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from backends.losses import Loss

# Without this setting, JAX silently converts float64 data and a float64 w to float32.
jax.config.update("jax_enable_x64", True)


def named_devices() -> dict[str, jax.Device]:
    """Return JAX's devices by name, such as ``cpu``, ``cpu:1`` and ``cuda:0``."""
    try:
        host = jax.devices("cpu")
    except RuntimeError:  # JAX_PLATFORMS excludes the CPU
        host = []
    named = {}
    for device in [*jax.devices(), *host]:
        platform = "cuda" if device.platform == "gpu" else device.platform
        first_cpu = platform == "cpu" and device.id == host[0].id
        named["cpu" if first_cpu else f"{platform}:{device.id}"] = device
    return named


def devices(technique: str) -> Mapping[str, str]:
    """Return a dictionary whose keys are the devices that a technique can use.

    Every value is "", which means that the device is usable. The technique `jax:blocked` can
    use only CPUs.
    """
    found = named_devices()
    return {k: "" for k, d in found.items() if technique != "blocked" or d.platform == "cpu"}


def note(technique: str, device: str, loss: Loss) -> str:
    """Return why the Triton kernel cannot be used on a GPU; "" if the kernel can be used.

    Without the kernel, the technique `jax:loop` reads X twice per step if there are three or
    more features. For other techniques and for CPUs, the result is "".
    """
    if technique != "loop" or not device.startswith("cuda"):
        return ""
    from backends.jax.triton import reason_against_one_pass

    reason = reason_against_one_pass(loss)
    return reason and f"reads X twice for 3 features and more: {reason}"


def peak_device_bytes(device: str) -> int | None:
    """Return the peak memory in bytes that JAX allocated on a device; None for the CPU."""
    stats = named_devices()[device].memory_stats()
    return stats["peak_bytes_in_use"] if stats else None
