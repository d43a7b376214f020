"""Write a part of docs/losses.md: a picture and a table of the cost of autograd."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from backends.names import Name
from bench.report.figure_files import SETTINGS, write_figure
from bench.report.style import styles
from bench.results.record import Record
from bench.show.autograd import Size, autograd_markdown, losses_of, sizes_of
from bench.show.text import count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE = "autograd.svg"
"""Name of the file in ``docs/pictures`` that shows what autograd costs."""

WIDTH, LANE_HEIGHT = 7.2, 0.125
"""Width of the picture, and height of the strip for one library, in inches."""


def section(record: Record, picture: str, described: str) -> str:
    """Return the Markdown text on the cost of autograd, a part of docs/losses.md.

    Parameters
    ----------
    record : Record
    picture : str
        Link to the picture.
    described : str
        A line with the machine, the versions and the date.
    """
    image = f"![Time a step by loss, one lane a library: autograd and by hand]({picture})"
    return f"{described}\n\n{image}\n\n{autograd_markdown(record)}"


def draw(record: Record, path: Path) -> Path:
    """Draw the step times that ``nox -s autograd-cost`` measured; return the picture's path.

    The picture has a panel for each size. A panel has a horizontal strip for each loss and
    library.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    sizes, losses = sizes_of(record), losses_of(record)
    libraries = list(dict.fromkeys(Name.parse(b).library for s in sizes for b in s.steps))
    lanes = len(losses) * (len(libraries) + 1)
    with mpl.rc_context(SETTINGS):  # type: ignore[arg-type]  # the keys are a Literal
        figure = Figure(figsize=(WIDTH, 1.1 + LANE_HEIGHT * lanes), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            _panel(axes, size, losses, libraries)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
        return write_figure(figure, path, "svg")


def _panel(axes: Axes, size: Size, losses: list[str], libraries: list[str]) -> None:
    """Draw the step times at one size, in a horizontal strip for each loss and library."""
    look = styles(size.steps)
    height = len(libraries) + 1
    for k, loss in enumerate(losses):
        for j, library in enumerate(libraries):
            lane = -(k * height + j)
            found = {
                backend: of[loss].step_s
                for backend, of in size.steps.items()
                if Name.parse(backend).library == library and loss in of
            }
            times = {b: step.median for b, step in found.items() if step is not None}
            if not times:
                continue
            ends = [min(times.values()), max(times.values())]
            colour = look[next(iter(times))].colour
            axes.plot(ends, [lane, lane], color=colour, linewidth=0.8, alpha=0.6)
            for backend, seconds in times.items():
                style = look[backend]
                label = backend if k == 0 else None
                axes.plot(
                    *([seconds], [lane]),
                    color=style.colour,
                    marker=style.mark[1],
                    linestyle="none",
                    label=label,
                )
    axes.set_yticks([-(k * height + (len(libraries) - 1) / 2) for k in range(len(losses))])
    axes.set_yticklabels(losses)
    axes.grid(visible=False, axis="y")
    axes.set(xscale="log", xlabel="seconds a step")
    axes.set_title(f"{count(size.rows)} × {size.features}, {size.dtype}", loc="left")
