"""PyTorch's devices and their memory."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import torch


def devices(technique: str) -> Mapping[str, str]:
    """Return the CPU and every CUDA device, with reasons if the technique cannot use one."""
    cuda = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if technique == "graph":
        return dict.fromkeys(cuda, "") or {"cuda:0": "no CUDA device"}
    found = dict.fromkeys(["cpu", *cuda], "")
    if technique == "compile" and not (shutil.which("g++") or shutil.which("clang++")):
        found["cpu"] = "torch.compile needs a C++ compiler: apt-get install g++"
    return found


def peak_device_bytes(device: str) -> int | None:
    """Return the peak that PyTorch's allocator counted; None for the CPU."""
    if torch.device(device).type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device)
