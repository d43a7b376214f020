"""A made-up tree of control groups."""

from __future__ import annotations

from pathlib import Path


def lay_out(root: Path, files: dict[str, str]) -> Path:
    """Write a file system of the kernel's small files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def v2(path: str, files: dict[str, str]) -> dict[str, str]:
    return {"proc/self/cgroup": f"0::{path}"} | {
        f"sys/fs/cgroup/{name}": text for name, text in files.items()
    }
