"""The results as tables for a terminal of 80 columns, one a size."""

from __future__ import annotations

import sys
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.summary import Interval, Result

GRAM_NOTE = "gram: for least squares only; reads the data once (place), then steps cost O(d²)"


def console(*, stderr: bool = False) -> Console:
    """Return a console that keeps 80 columns where there is no terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 80, highlight=False)


def seconds(value: float | None, digits: int = 3) -> str:
    """Write a time with its unit: 1.23 ms."""
    return _scaled(value, ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")), digits)


def byte_count(value: float | None, digits: int = 3) -> str:
    """Write a size with its unit: 1.23 GB (10⁹ bytes)."""
    return _scaled(
        value, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")), digits
    )


def figures(value: float, digits: int) -> str:
    """Write so many significant digits, and more where the number is larger: 0.12, 123."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text


def count(value: float) -> str:
    """Write a whole number short where that loses nothing: 1e6, 1,234."""
    short = f"{value:.0e}".replace("e+0", "e").replace("e+", "e")
    return short if value >= 10_000 and float(short) == value else f"{value:,.0f}"


def _scaled(value: float | None, units: tuple[tuple[float, str], ...], digits: int) -> str:
    if value is None:
        return "–"
    # 999.7 ms rounds to 1 s, not to 1000 ms.
    scale, unit = next((u for u in units if abs(value) >= 0.9995 * u[0]), units[-1])
    return f"{figures(value / scale, digits)} {unit}"


def results_table(results: list[Result]) -> RenderableType:
    """Return a table for every size, sorted by time a step, failures last."""
    tables: list[RenderableType] = []
    for (rows, features, dtype), group in groupby(results, key=lambda r: r.row.size):
        tables.append(_size_table(rows, features, dtype, list(group)))
    return Group(*tables)


def _size_table(rows: int, features: int, dtype: str, results: list[Result]) -> RenderableType:
    columns = "" if features == 1 else f" × {features} features"
    title = (
        f"{count(rows)} rows{columns}, {dtype}: {byte_count(results[0].bytes_per_step)} a step"
    )
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    # Only this gives way where the line would be too long; no figure is cut.
    table.add_column("backend", overflow="fold")
    table.add_column("first\ncall", justify="right", no_wrap=True)
    table.add_column("new\nshape", justify="right", no_wrap=True)
    table.add_column("place", justify="right", no_wrap=True)
    table.add_column("a step", justify="right", no_wrap=True)
    table.add_column("×\nnumpy", justify="right", no_wrap=True)
    table.add_column("GB/s", justify="right", no_wrap=True)
    table.add_column("of\nbw", justify="right", no_wrap=True)
    table.add_column("peak\nmemory", justify="right", no_wrap=True)
    table.add_column("rel.\nerror", justify="right", no_wrap=True)
    plain = next((r.step_s for r in results if r.backend == "numpy"), None)
    for result, following in zip(results, [*results[1:], None], strict=True):
        loops_end = following is not None and following.least_squares_only
        loops_end = loops_end and not result.least_squares_only
        table.add_row(*_cells(result, plain), end_section=loops_end)
    notes = [Text(f"failed: {r.backend}: {r.reason}", "red") for r in results if not r.verified]
    if any(r.least_squares_only for r in results):
        notes.append(Text(GRAM_NOTE, "dim"))
    return Group(table, *notes, Text())


def _cells(result: Result, plain: Interval | None) -> list[str]:
    """Return a line of the table; `plain` is NumPy's step at the same size."""
    if result.step_s is None:
        return [result.backend, "failed"]
    return [
        result.backend,
        seconds(result.first_call_s, 2),
        seconds(result.new_shape_s, 2),
        seconds(result.place_s, 2),
        f"{seconds(result.step_s.median)} {percent(result.step_s.spread, '±')}",
        "–" if plain is None else figures(plain.median / result.step_s.median, 2),
        "–" if result.gb_per_s is None else figures(result.gb_per_s, 2),
        percent(result.bandwidth_fraction),
        byte_count(result.peak_device_bytes or result.peak_bytes, 2),
        "–" if result.relative_error is None else f"{result.relative_error:.0e}",
    ]


def percent(value: float | None, sign: str = "") -> str:
    """Write a share: 97%."""
    return "–" if value is None else f"{sign}{value:.0%}"
