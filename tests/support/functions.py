"""Record which functions of `xp` a loss calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.losses import Pointwise


class _Recorder:
    """NumPy as the namespace `xp`, which records the names of the functions that are read."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(np, name)


def functions_in(formula: Pointwise) -> set[str]:
    """Return the names of the functions of `xp` that a value or a slope uses."""
    xp = _Recorder()
    formula(xp, np.array([0.5, -0.5]), np.array([1.0, 2.0]))
    return xp.names
