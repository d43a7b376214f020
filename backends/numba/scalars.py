"""The functions that a loss can use, for single numbers in compiled loops.

Compiled loops pass this module as `xp` to a loss if the prediction and the target are single
numbers. This module defines `where` and `clip`, because Numba's own versions are made for
arrays. All other functions are NumPy's.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable


@register_jitable
def where(condition, a, b):
    """Return `a` if the condition holds, else `b`."""
    return a if condition else b


@register_jitable
def clip(x, lowest, highest):
    """Return x, limited to the range from `lowest` to `highest`."""
    return np.minimum(np.maximum(x, lowest), highest)


def __getattr__(name: str) -> Any:
    """Return NumPy's function for a name that this module does not define."""
    return getattr(np, name)
