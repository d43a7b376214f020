"""Draw the data of a fit, and the line fitted to the data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from backends.errors import DescentbenchError
from bench.host.optional import need
from bench.show.text import number_text, weights_text

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from backends.problem import Array, Problem
    from bench.fit.descend import Fit

MOST_POINTS = 2000
"""Largest number of points in a picture. If the data have more rows, this many rows are shown,
evenly spaced by row number."""


class PlotError(DescentbenchError):
    """The picture cannot be written to this path or in this format."""


def check(path: Path) -> None:
    """Check, before the descent, that `save_fit` can write a picture to this path.

    Raises
    ------
    MissingLibraryError
        Matplotlib is not installed.
    PlotError
        Matplotlib cannot write the format of the suffix, `path` is a folder, or the parent
        folder is missing or not writable.
    """
    need("matplotlib.figure", "a plot")
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise PlotError(
            f"cannot plot to {path}: its suffix must be one of {', '.join(sorted(formats))}"
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        reason = "it is a folder, or its folder is missing or not writable"
        raise PlotError(f"cannot plot to {path}: {reason}")


def save_fit(path: Path, problem: Problem, fit: Fit) -> None:
    """Draw the data and the fit, and write a picture; the path's suffix selects the format.

    For one feature, the picture shows the data and the line. For several features, it shows
    actual against predicted values; in a perfect fit, all points lie on the diagonal.

    Raises
    ------
    MissingLibraryError, PlotError
    """
    check(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.add_subplot()
    shown = np.linspace(0, problem.rows - 1, min(problem.rows, MOST_POINTS)).astype(int)
    x = problem.x.reshape(problem.rows, -1)[shown].astype(np.float64)
    (_line if problem.features == 1 else _diagonal)(axes, x, problem.y[shown], fit)
    plus = "" if fit.intercept is None else f", intercept = {number_text(fit.intercept)}"
    axes.set_title(f"w = {weights_text(fit.w)}{plus} and loss = {number_text(fit.loss)}")
    axes.legend()

    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        figure.savefig(partial, format=path.suffix[1:].lower(), dpi=150)
        partial.replace(path)
    except OSError as error:
        raise PlotError(f"cannot plot to {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _line(axes: Axes, x: Array, y: Array, fit: Fit) -> None:
    """Draw y against x, and the line x·w + intercept."""
    predicted = [p.x[0] for p in fit.predictions]
    ends = np.array([min(x.min(), *predicted, 0.0), max(x.max(), *predicted, 0.0)])
    axes.scatter(x[:, 0], y, s=14, alpha=0.6, label="data")
    label = f"ŷ = {weights_text(fit.w)}·x"
    if fit.intercept is not None:
        label += f" {'+' if fit.intercept >= 0 else '−'} {number_text(abs(fit.intercept))}"
    axes.plot(ends, ends * fit.w[0] + (fit.intercept or 0.0), color="C1", label=label)
    _predictions(axes, predicted, fit)
    axes.set(xlabel="x", ylabel="y")


def _diagonal(axes: Axes, x: Array, y: Array, fit: Fit) -> None:
    """Draw actual against predicted y, and the diagonal of a perfect fit."""
    predicted = x @ np.asarray(fit.w) + (fit.intercept or 0.0)
    ends = [min(predicted.min(), y.min()), max(predicted.max(), y.max())]
    axes.scatter(predicted, y, s=14, alpha=0.6, label="data")
    axes.plot(ends, ends, color="C1", label="actual = predicted")
    _predictions(axes, [p.y for p in fit.predictions], fit)
    formula = "x·w" if fit.intercept is None else "x·w + intercept"
    axes.set(xlabel=f"predicted, {formula}", ylabel="actual, y")


def _predictions(axes: Axes, across: list[float], fit: Fit) -> None:
    if fit.predictions:
        up = [p.y for p in fit.predictions]
        axes.scatter(across, up, color="C3", marker="D", zorder=3, label="prediction")
