"""List PyTorch's devices, and measure their memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import torch

from backends.losses import Loss
from backends.onepass import reason_against


def devices(technique: str) -> Mapping[str, str]:
    """Return a dictionary whose keys are the devices of a technique.

    The value is "" for a usable device, and otherwise the reason why the device is unusable.
    """
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if technique == "graph":
        return dict.fromkeys(cuda, "") or {"cuda:0": "no CUDA device"}
    found = dict.fromkeys(["cpu", *cuda], "")
    if technique == "compile" and not (shutil.which("g++") or shutil.which("clang++")):
        found["cpu"] = "torch.compile needs a C++ compiler: apt-get install g++"
    return found


def note(technique: str, device: str, loss: Loss) -> str:
    """Return a note if `torch:analytic` has to read X twice per step on a GPU, otherwise ""."""
    if technique != "analytic" or torch.device(device).type != "cuda":
        return ""
    reason = reason_against(loss)
    return reason and f"reads X twice, chunk by chunk: {reason}"


def peak_device_bytes(device: str) -> int | None:
    """Return the peak memory in bytes that PyTorch allocated on a GPU; None for the CPU."""
    if torch.device(device).type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device)
