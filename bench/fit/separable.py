"""Check for separable data, for which log_loss has no minimum and w grows with every step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backends.losses import LOG_LOSS

if TYPE_CHECKING:
    from backends.rows.source import Source
    from bench.fit.descend import Fit


def remark(source: Source, fit: Fit) -> str:
    """Return a sentence if w shows that log_loss has no minimum on these rows, else ""."""
    if source.loss != LOG_LOSS or not _separates(source, fit):
        return ""
    return (
        "the data are separable, because x·w has the right sign for every row: log_loss has "
        "no minimum, and more steps make w larger without end (--until-loss stops early)"
    )


def _separates(source: Source, fit: Fit) -> bool:
    """Return whether x·w has the right sign for every row."""
    if not fit.loss < math.log(2):  # the loss of a correct row is below log 2
        return False
    w = np.asarray(fit.w)
    for block in source.blocks():
        x, y = block.x[: block.rows], block.y[: block.rows]
        p = x * w[0] if x.ndim == 1 else x @ w
        if not np.all(np.where(y > 0, p > 0, p < 0)):
            return False
    return True
