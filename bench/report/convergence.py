"""Compute convergence curves for the report: by how much the loss exceeds its minimum."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from backends.catalogue import open_backend
from backends.problem import step_bytes
from backends.synthetic import generate
from bench.fit.descend import descend
from bench.measure.verify import LEARNING_RATE
from bench.report.sources import Source
from bench.results.case import SQUARED

MOST_BYTES = 200_000_000
"""Largest size of data in bytes for which a curve is computed. A curve of larger data would
take seconds to compute."""

MOST_STEPS = 10**7
"""Largest number of steps in a curve."""

POINTS = 180
"""Number of points of a curve. They have equal distances on a logarithmic axis."""

GAP = 1e-10
"""A curve ends when the excess loss (the loss minus its minimum) has fallen to this fraction of
its first value."""


def curves(found: Sequence[Source]) -> Iterator[dict[str, Any]]:
    """Yield a curve for each measured size: the loss minus its minimum, by number of steps.

    The descent uses squared error and starts at w = 0. The losses are computed in float64. The
    curve is the same for all backends, because they take the same steps. Data larger than
    `MOST_BYTES` are left out.
    """
    sizes = {r.case.size for source in found for r in source.of_loss(SQUARED) if r.verified}
    for rows, features, dtype in sorted(sizes, key=lambda s: (s[1], s[2], s[0])):
        if step_bytes(rows, features, dtype) <= MOST_BYTES:
            yield _curve(rows, features, dtype)


def _curve(rows: int, features: int, dtype: str) -> dict[str, Any]:
    reference = generate(rows, features, dtype).reference
    start = np.zeros(features)
    first = reference.loss(start) - reference.loss(reference.solution)
    gaps = [(0, first)]
    for k in np.unique(np.geomspace(1, MOST_STEPS, POINTS).astype(int)).tolist():
        apart = reference.iterate(k, LEARNING_RATE, start) - reference.solution
        gap = float(apart @ reference.gram @ apart)  # subtracting losses would lose digits
        gaps.append((k, gap))
        if gap <= GAP * first:
            break
    return {
        "rows": rows,
        "features": features,
        "dtype": dtype,
        "steps": [k for k, _ in gaps],
        "gap": [gap for _, gap in gaps],
    }


def tutorial() -> dict[str, Any]:
    """Return the hundred points (x, y) of the tutorial, and the result of a hundred steps.

    The result is the weight w and the loss at w.
    """
    problem = generate(100)
    fit = descend(open_backend("numpy"), problem, LEARNING_RATE, steps=100)
    return {
        "x": problem.x.tolist(),
        "y": problem.y.tolist(),
        "w": fit.w[0],
        "loss": fit.loss,
        "steps": fit.steps,
    }
