"""Write a table of results for each size, for a terminal of at least 80 columns."""

from __future__ import annotations

from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from bench.results.summary import Interval, Result, instability
from bench.show.console import Columns
from bench.show.formats import markdown_text
from bench.show.text import byte_count, count, data_text, figures, percent, seconds

GRAM_NOTE = "gram: for least squares only; reads the data once (place), then steps cost O(d²)"

HEADINGS = (
    *("backend", "first\ncall", "new\nshape", "place", "a step", "×\nnumpy", "GB/s", "of\nbw"),
    *("peak\nmemory", "rel.\nerror"),
)


def results_table(results: list[Result]) -> RenderableType:
    """Return a table for each size, with a line for each result in the given order."""
    tables: list[RenderableType] = []
    for _, group in groupby(results, key=lambda r: r.case.data):
        tables.append(_size_table(list(group)))
    return Group(*tables)


def results_markdown(results: list[Result]) -> str:
    """Return the tables of `results_table` in Markdown."""
    parts = []
    headings = [heading.replace("\n", " ") for heading in HEADINGS]
    for _, group in groupby(results, key=lambda r: r.case.data):
        of_size = list(group)
        plain = _plain(of_size)
        cells = [_cells(r, plain) for r in of_size if r.verified]
        parts.append(f"**{_title(of_size[0])}**\n\n{markdown_text(headings, cells)}")
        parts += [f"failed: {r.backend}: {r.reason}\n" for r in of_size if not r.verified]
        parts += [f"{text}\n" for text in _unstable(of_size)]
    if any(r.least_squares_only for r in results):
        parts.append(f"{GRAM_NOTE}\n")
    return "\n".join(parts)


def _unstable(results: list[Result]) -> list[str]:
    """Return a list with one line about all backends with unstable times.

    The list is empty if no backend has unstable times.
    """
    found = [f"{r.backend} {instability(r.spread)}" for r in results if r.unstable]
    return [f"unstable: {', '.join(found)}"] if found else []


def _title(result: Result) -> str:
    columns = "" if result.features == 1 else f" × {result.features} features"
    size = f"{count(result.rows)} rows{columns}, {data_text(result.dtype, result.loss)}"
    return f"{size}: {byte_count(result.bytes_per_step)} a step"


def _plain(results: list[Result]) -> Interval | None:
    """Return the step time of plain NumPy, the baseline of the speed-ups; None if missing."""
    return next((r.step_s for r in results if r.backend == "numpy"), None)


def _size_table(results: list[Result]) -> RenderableType:
    table = Columns(*HEADINGS, title=_title(results[0]), gap=0)
    plain = _plain(results)
    for result, following in zip(results, [*results[1:], None], strict=True):
        loops_end = following is not None and following.least_squares_only
        table.add_row(*_cells(result, plain))
        if loops_end and not result.least_squares_only:
            table.add_section()
    notes = [Text(f"failed: {r.backend}: {r.reason}", "red") for r in results if not r.verified]
    notes += [Text(text, "yellow") for text in _unstable(results)]
    if any(r.least_squares_only for r in results):
        notes.append(Text(GRAM_NOTE, "dim"))
    return Group(table, *notes, Text())


def _cells(result: Result, plain: Interval | None) -> list[str]:
    """Return a result as cells of a table; `plain` is the step time of plain NumPy."""
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
