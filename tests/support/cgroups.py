"""Write made-up files of Linux control groups."""

from __future__ import annotations

from pathlib import Path


def lay_out(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root`: path → text. Return `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def v2(path: str, files: dict[str, str]) -> dict[str, str]:
    """Return the files that describe a process in the group `path` (version 2 of cgroups)."""
    return {"proc/self/cgroup": f"0::{path}"} | {
        f"sys/fs/cgroup/{name}": text for name, text in files.items()
    }
