"""Write remarks on a fit, such as a warning that far more steps are needed.

The number of further steps that a fit needs is `Excess.more_steps`: after these steps, its loss
is at most about 0.1 % above the minimum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from backends.losses import SQUARED_ERROR
from bench.show.text import figures

if TYPE_CHECKING:
    from bench.fit.descend import Fit
    from bench.fit.excess import Excess
    from bench.fit.scaled import Prepared

UNLIKE = 30.0
"""A remark recommends scaling if the root mean square of a column is at least this number of
times as large as that of another column."""

SAMPLE_ROWS = 1000
"""Largest number of rows that are read to estimate the columns' root mean squares."""

SAMPLE_BYTES = 8 << 20
"""Largest number of bytes that are read to estimate the columns' root mean squares."""

MOST_NAMED = 3
"""Remarks list at most this many constant columns by name. Further constant columns are only
counted."""

WITHIN = 1e-6
"""If a loss is above its minimum by less than this fraction of the minimum, the loss is
described as "the minimum to within 0.0001%"."""

USELESS = 10
"""A fit of n steps gets no warning if 10·n further steps lead close to the minimum."""

MANY_STEPS = 10_000
"""A fit gets no warning if 10,000 further steps lead close to the minimum."""


def excess_text(excess: Excess) -> str:
    """Return a text such as ``0.12% above the minimum``, for the end of a sentence."""
    relative = excess.relative
    if relative is None:
        return "and the minimum is 0"
    if relative < WITHIN:
        return "the minimum to within 0.0001%"
    if relative < 1:
        return f"{figures(100 * relative, 2)}% above the minimum"
    return f"{_about(1 + relative)} times the minimum"


def missing_text(excess: Excess | None) -> str:
    """Return text such as ``; about 40 more steps lead to within 0.1% of the minimum``.

    The text is empty if no step is needed, or if the number of steps is unknown.
    """
    if excess is None or excess.finished or excess.more_steps is None:
        return ""
    return f"; about {_about(excess.more_steps)} more steps lead to within 0.1% of the minimum"


def before(ready: Prepared) -> list[str]:
    """Return remarks about the columns, to be shown before the descent.

    The remarks name constant columns, and two columns of very different size (see `UNLIKE`).

    Raises
    ------
    ProblemError
        The rows cannot be read.
    """
    names = ready.names()
    found = [
        f"column {names[i]!r} has one value only: its weight stays as it begins"
        for i in ready.constant[:MOST_NAMED]
    ]
    if len(ready.constant) > MOST_NAMED:
        found.append(f"{len(ready.constant) - MOST_NAMED} more columns have one value only")
    if not ready.scaling.standardized and ready.raw.origin is not None:
        found += _unlike(ready, names)
    return found


def _unlike(ready: Prepared, names: tuple[str, ...]) -> list[str]:
    """Return a remark if a column is at least `UNLIKE` times as large as another column."""
    if ready.source.features < 2:
        return []
    row_bytes = ready.source.bytes_per_step // ready.source.rows
    most = max(1, min(SAMPLE_ROWS, SAMPLE_BYTES // row_bytes))
    x = ready.source.sample(most, stretches=4).x.astype(np.float64)
    largest = np.abs(x).max(axis=0)
    some = np.flatnonzero(largest > 0)
    if len(some) < 2:
        return []
    of = np.where(largest > 0, largest, 1.0)
    size = of * np.sqrt(np.mean((x / of) ** 2, axis=0))
    low, high = some[np.argmin(size[some])], some[np.argmax(size[some])]
    if size[high] < UNLIKE * size[low]:
        return []
    called = [*map(repr, names), "the ones of the intercept"]
    large, small = (f"{called[i]} about {_about(size[i])}" for i in (high, low))
    text = f"columns are of unlike size ({large}, {small}), which makes a descent slow"
    return [f"{text}; --standardize scales them"]


def after(excess: Excess | None, fit: Fit, ready: Prepared) -> str:
    """Return a warning with advice, or "" if the fit is close enough to its minimum.

    The limits for a warning are `USELESS` and `MANY_STEPS`.
    """
    if excess is None or excess.finished or fit.stopped != "steps" or not fit.steps:
        return ""
    more = excess.more_steps
    if more is not None and more <= max(USELESS * fit.steps, MANY_STEPS):
        return ""
    needed = "no number of steps" if more is None else f"about {_about(more)} more steps"
    text = (
        f"{fit.steps} steps leave the loss far from its minimum: the condition number is "
        f"{_about(excess.condition_number)}, so at this learning rate {needed} would bring the "
        "loss within 0.1% of the minimum"
    )
    return f"{text}; {_remedy(excess, ready)}"


def _remedy(excess: Excess, ready: Prepared) -> str:
    """Return the advice with the fewest further steps, such as ``add --steps 400``."""
    alike, auto, more = excess.standardized_steps, excess.automatic_steps, excess.more_steps
    if ready.scaling.standardized:
        alike = None
    best = min((n for n in (alike, auto) if n is not None), default=None)
    if best is None:
        return "scale the columns" if more is None else f"add --steps {more}"
    if best == alike and (auto is None or 2 * alike < auto):
        return f"with --standardize --learning-rate auto about {_about(alike)} steps are enough"
    if more is None or 2 * best < more:
        return f"with --learning-rate auto about {_about(best)} more steps are enough"
    if ready.source.loss != SQUARED_ERROR:
        return f"add --steps {more}"
    return f"a gram backend takes these steps fastest: --steps {more + 1}"


def _about(value: float) -> str:
    """Return a number with two significant digits: 0.0012, 37, 4,200, 3.1e9."""
    if value >= 1e6:
        return f"{value:.1e}".replace("e+0", "e").replace("e+", "e")
    if value < 100:
        return f"{value:.2g}"
    digits = len(str(int(value))) - 2
    return f"{round(value, -digits):,.0f}"
