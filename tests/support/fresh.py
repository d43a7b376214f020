"""Import a library's backends once more, as in a process that has not used them yet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import backends


@contextmanager
def fresh(library: str) -> Iterator[None]:
    """Let imports load a library's backends anew; on exit, restore the old modules."""
    before, package = _taken_out(library), vars(backends).pop(library, None)
    try:
        yield
    finally:
        _taken_out(library)
        vars(backends).pop(library, None)
        sys.modules.update(before)
        if package is not None:
            setattr(backends, library, package)


def _taken_out(library: str) -> dict[str, ModuleType]:
    """Remove the modules of a library's backends from `sys.modules`; return them by name."""
    package = f"backends.{library}"
    names = [n for n in sys.modules if n == package or n.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}
