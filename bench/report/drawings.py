"""Draw the figures of ``plot`` with matplotlib; each figure has one function."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.problem import step_bytes
from bench.pick.ties import choose
from bench.report.sources import shape_of
from bench.report.style import Style, styles
from bench.show.text import byte_count, count, data_text, plural, seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.report.sources import Shape, Source
    from bench.results.summary import Result

COST_ITERATIONS = 1000
"""Number of iterations of the descents whose times `cost` draws. The calculator on the
report's page begins with the same number."""

PARTS = (
    ("import", "#3F97CF", ".."),
    ("place", "#B97F00", "//"),
    ("first call", "#D55E00", "xx"),
)
"""Name, colour and pattern of each part of the setup time in the figure that `cost` draws."""

Draw = Callable[["Axes", "Source", "Shape"], bool]
"""Type of a function that draws one figure for one shape (features, dtype and loss). It returns
False if there is nothing to draw."""


def _by_backend(source: Source, shape: Shape) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for r in source.of_loss(shape.loss):
        if r.verified and shape_of(r) == shape:
            found.setdefault(r.backend, []).append(r)
    return {b: sorted(of, key=lambda r: r.rows) for b, of in found.items()}


def _look(style: Style) -> dict[str, Any]:
    face = "none" if style.hollow else style.colour
    return {
        "color": style.colour,
        "marker": style.mark[1],
        "linestyle": style.dash[1],
        "markerfacecolor": face,
    }


def _caches(axes: Axes, source: Source, bytes_per_unit: float) -> None:
    """Draw a vertical line at each point of the x axis where the data exactly fill a cache."""
    for level, size in source.machine["caches"].items():
        at = size / bytes_per_unit
        axes.axvline(at, color="0.5", linestyle=":", linewidth=0.8)
        axes.annotate(
            level,
            (at, 1),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=6,
        )


def _title(axes: Axes, shape: Shape) -> None:
    axes.set_title(_title_text(shape), loc="left", pad=10)


def _title_text(shape: Shape) -> str:
    return f"{plural(shape.features, 'feature')}, {data_text(shape.dtype, shape.loss)}"


def _legend(axes: Axes) -> None:
    if not axes.get_legend_handles_labels()[0]:
        return
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False)


def scaling(axes: Axes, source: Source, shape: Shape) -> bool:
    """Draw the seconds of a step against the number of rows, with 95 % confidence intervals."""
    found = _by_backend(source, shape)
    look = styles(r.backend for r in source.results)
    loops = {b: of for b, of in found.items() if not of[0].least_squares_only}
    for backend, of in loops.items():
        steps = [r.step_s for r in of if r.step_s is not None]
        rows = [r.rows for r in of]
        axes.plot(rows, [s.median for s in steps], label=backend, **_look(look[backend]))
        low = [s.median if s.low is None else s.low for s in steps]
        high = [s.median if s.high is None else s.high for s in steps]
        axes.fill_between(rows, low, high, color=look[backend].colour, alpha=0.2, linewidth=0)
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds a step")
    _caches(axes, source, step_bytes(1, shape.features, shape.dtype))
    _title(axes, shape)
    _legend(axes)
    return bool(loops)


def bandwidth(axes: Axes, source: Source, shape: Shape) -> bool:
    """Draw the speed of a step, as a share of the read bandwidth, against the step's bytes."""
    look = styles(r.backend for r in source.results)
    some = False
    for backend, of in _by_backend(source, shape).items():
        shares = [
            (r.bytes_per_step, 100 * r.bandwidth_fraction)
            for r in of
            if r.bandwidth_fraction is not None
        ]
        if shares:
            some = True
            axes.plot(*zip(*shares, strict=True), label=backend, **_look(look[backend]))
    axes.axhline(100, color="0.2", linestyle="--", linewidth=0.8)
    axes.set(xscale="log", xlabel="bytes that a step must read", ylabel="% of the bandwidth")
    axes.set_ylim(bottom=0)
    _caches(axes, source, 1.0)
    _title(axes, shape)
    _legend(axes)
    return some


def cost(axes: Axes, source: Source, shape: Shape) -> bool:
    """Draw the total time of each backend at the largest size, as a bar with four parts.

    The parts are the import, placing the data, the first call, and the steps.
    """
    whole = [
        r
        for of in _by_backend(source, shape).values()
        for r in of
        if r.first_call_s is not None
    ]
    if not whole:
        return False
    rows = max(r.rows for r in whole)

    def parts(r: Result) -> list[float]:
        steps = COST_ITERATIONS * r.step_s.median if r.step_s else 0.0
        return [r.import_s or 0.0, r.place_s or 0.0, r.first_call_s or 0.0, steps]

    bars = sorted((r for r in whole if r.rows == rows), key=lambda r: -sum(parts(r)))
    left = np.zeros(len(bars))
    names = [r.backend for r in bars]
    last = (f"{count(COST_ITERATIONS)} steps", "#0072B2", "")
    for i, (name, colour, hatch) in enumerate((*PARTS, last)):
        width = np.array([parts(r)[i] for r in bars])
        axes.barh(
            names,
            width,
            left=left,
            label=name,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.3,
        )
        left += width
    for y, total in enumerate(left):
        axes.annotate(f" {seconds(total)}", (total, y), va="center", fontsize=6)
    axes.margins(x=0.18)
    axes.set_xlabel("seconds")
    axes.grid(visible=False, axis="y")
    size = f"{count(rows)} × {count(shape.features)}, {data_text(shape.dtype, shape.loss)}"
    axes.set_title(f"{size}: {byte_count(bars[0].bytes_per_step)} a step", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.2), ncols=4, frameon=False)
    return True


def fastest(axes: Axes, source: Source, shape: Shape) -> bool:
    """Draw a map that shows the fastest backend for each number of rows and iterations.

    Ties are hatched. `gram` techniques are left out, because they work only for squared error.
    """
    models = [m for m in source.models.get(shape, []) if ":gram" not in m.backend]
    if len(models) < 2:
        return False
    look = styles(m.backend for m in models)
    rows, iterations = np.logspace(2, 9, 29), np.logspace(0, 6, 19)
    cells = [[choose(models, n, k) for n in rows] for k in iterations]
    present = sorted({pick for lane in cells for pick, _ in lane if pick})
    kin: dict[str, int] = {}
    for i, backend in enumerate(present):
        colour = look[backend].colour
        alpha = (0.9, 0.5, 0.25)[kin.setdefault(colour, 0) % 3]
        kin[colour] += 1
        mask = np.array([[float(pick == backend) for pick, _ in lane] for lane in cells])
        image = np.ma.masked_equal(mask, 0)
        axes.pcolormesh(
            rows,
            iterations,
            image,
            cmap=_single(colour),
            alpha=alpha,
            shading="nearest",
            zorder=1 + i / 100,
            rasterized=True,  # a bitmap of hundreds of cells is smaller
        )
        at = np.argwhere(mask > 0)
        middle = at[np.abs(at - at.mean(axis=0)).sum(axis=1).argmin()]
        axes.annotate(
            backend,
            (rows[middle[1]], iterations[middle[0]]),
            ha="left" if middle[1] < 4 else "right" if middle[1] > len(rows) - 5 else "center",
            va="center",
            fontsize=6.5,
            zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
        )
    ties = [
        (n, k)
        for k, lane in zip(iterations, cells, strict=True)
        for n, (_, tied) in zip(rows, lane, strict=True)
        if tied
    ]
    across, up = [n for n, _ in ties], [k for _, k in ties]
    axes.scatter(across, up, marker="$/$", s=14, color="black", linewidth=0, zorder=3)
    axes.axvline(max(m.largest for m in models), color="black", linestyle=":", linewidth=0.9)
    axes.set(xscale="log", yscale="log", xlabel="rows", ylabel="iterations")
    axes.grid(visible=False)
    key = "hatched: a tie; right of the dots: extrapolated"
    axes.set_title(f"{_title_text(shape)}; {key}", loc="left", fontsize=6.5)
    return True


def _single(colour: str) -> Any:
    from matplotlib.colors import ListedColormap

    return ListedColormap([colour])


FIGURES: dict[str, Draw] = {
    "scaling": scaling,
    "bandwidth": bandwidth,
    "cost": cost,
    "map": fastest,
}
