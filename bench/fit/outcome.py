"""Turn the result of a descent into a model in the units of the data, with warnings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.fit.advice import after
from bench.fit.descend import Epoch, Fit, predicted
from bench.fit.excess import Excess, excess
from bench.fit.model import Model, versions
from bench.fit.separable import remark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.fit.scaled import Prepared


@dataclass(frozen=True)
class Outcome:
    """A fit in the units of the data.

    Attributes
    ----------
    fit : Fit
        The result of the descent; w and the intercept are for the unscaled columns.
    excess : Excess, optional
        How far the loss is above its minimum; None if unknown.
    remarks : tuple of str
        Warnings for the user, one line each.
    """

    fit: Fit
    excess: Excess | None
    remarks: tuple[str, ...]


def conclude(
    result: Fit,
    ready: Prepared,
    points: Sequence[Sequence[float]] = (),
    memory_bytes: float = float("inf"),
) -> Outcome:
    """Convert the result of a descent to the units of the data; add the excess and warnings.

    Parameters
    ----------
    result : Fit
        The result of `descend`, with weights for the scaled columns.
    ready : Prepared
        The rows of the descent, and the scaling of their columns.
    points : sequence of points
        Points of d numbers, in the units of the data, for which y is predicted.
    memory_bytes : float
        If the rows take more than this number of bytes in total, they are not read again.
    """
    intercept = ready.scaling.intercept
    apart = excess(
        *(ready.source, result.w, result.learning_rate, memory_bytes, result.loss),
        intercept=intercept,
    )
    said = remark(ready.source, result) or after(apart, result, ready)
    fit = in_original_units(result, ready, points)
    return Outcome(fit, apart, (said,) if said else ())


def in_original_units(
    result: Fit, ready: Prepared, points: Sequence[Sequence[float]] = ()
) -> Fit:
    """Return the fit with all weights, intercepts and predictions in the units of the data."""
    epochs = tuple(_original(epoch, ready) for epoch in result.epochs)
    last = _original(Epoch(result.steps, result.w, result.loss), ready)
    predictions = predicted(points, last.w, last.intercept or 0.0)
    return replace(
        result, w=last.w, intercept=last.intercept, epochs=epochs, predictions=predictions
    )


def _original(epoch: Epoch, ready: Prepared) -> Epoch:
    w, intercept = ready.scaling.to_original(epoch.w)
    known = intercept if ready.scaling.intercept else None
    return replace(epoch, w=tuple(w.tolist()), intercept=known)


def model_of(outcome: Outcome, ready: Prepared) -> Model:
    """Return the model of a fit, with the data, the settings and the versions that made it."""
    fit, raw = outcome.fit, ready.raw
    library = fit.backend.partition("@")[0].partition(":")[0]
    source = {"description": raw.source, "rows": raw.rows}
    if raw.origin is not None:
        files = list(raw.origin.files)
        source |= {"path": raw.origin.path, "files": files, "target": raw.origin.y}
    how = {
        "backend": fit.backend,
        "dtype": ready.source.dtype,
        "learning_rate": fit.learning_rate,
        "steps": fit.steps,
        "stopped": fit.stopped,
        "loss": fit.loss,
        "relative_excess": None if outcome.excess is None else outcome.excess.relative,
    }
    return Model(
        *(ready.names(), fit.w, fit.intercept, raw.loss.name),
        *(ready.scaling if ready.scaling.standardized else None, source, how),
        versions(library),
    )
