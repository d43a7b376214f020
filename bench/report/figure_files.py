"""Write the figures of ``plot`` to files, as wide as a column of a paper."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.errors import DescentbenchError
from bench.host.optional import need
from bench.report.drawings import FIGURES, Draw
from bench.results.case import SQUARED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.report.sources import Shape, Source

WIDTH, HEIGHT = 3.5, 3.1
"""Width and height of a figure in inches. A column of a paper is about 3.5 inches wide."""

SETTINGS: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 6.5,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "svg.hashsalt": "descentbench",
    "svg.fonttype": "none",
    "hatch.linewidth": 0.5,
}


class FigureError(DescentbenchError):
    """A figure cannot be written, or there is nothing to draw."""


def save_all(
    source: Source, folder: Path, formats: Sequence[str], names: Sequence[str] = ()
) -> Iterator[Path]:
    """Write a file for each figure, shape and format; yield the paths of the files.

    `names` selects the figures; all figures are written by default.

    Raises
    ------
    MissingLibraryError
        Matplotlib is not installed.
    FigureError
        There are no timings, or a file cannot be written.
    """
    if not source.shapes:
        raise FigureError("these results have no timings; measure some with 'descentbench run'")
    for shape in source.shapes:
        for name in names or FIGURES:
            stem = folder / f"{name}-{shape_name(shape)}"
            yield from save(source, shape, FIGURES[name], stem, formats)


def shape_name(shape: Shape) -> str:
    """Return a shape as a part of a file's name, such as ``32-float32-log_loss``.

    The parts of the name are the number of features, the dtype and the loss. Squared error is
    left out, as in ``32-float32``.
    """
    loss = "" if shape.loss == SQUARED else f"-{shape.loss}"
    return f"{shape.features}-{shape.dtype}{loss}"


def save(
    source: Source, shape: Shape, draw: Draw, stem: Path, formats: Sequence[str]
) -> Iterator[Path]:
    """Write one figure in each format and yield the paths; skip a figure without content."""
    need("matplotlib.figure", "a figure")
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]  # the keys are a Literal
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        if not draw(figure.add_subplot(), source, shape):
            return
        for kind in formats:
            yield write_figure(figure, stem.with_name(f"{stem.name}.{kind}"), kind)


def write_figure(figure: Figure, path: Path, kind: str) -> Path:
    """Write a figure to a file atomically, and return the path.

    Equal figures give equal bytes, because the file contains no date.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(partial, format=kind, dpi=300, metadata=undated)
            return partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise FigureError(f"cannot write {path}: {error.strerror or error}") from error
