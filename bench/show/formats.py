"""Write tables as CSV for other programs, and as Markdown for documents."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.results.summary import Result

RESULT_COLUMNS = (
    *("backend", "rows", "features", "dtype", "loss", "step_s", "step_s_low", "step_s_high"),
    *("unstable", "gb_per_s", "bandwidth_fraction"),
    *("import_s", "place_s", "first_call_s", "new_shape_s"),
    *("peak_bytes", "relative_error", "threads", "verified", "reason"),
)
"""Columns of ``run --format csv``. The CSV file of the report adds columns about the
machine."""


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = ()) -> str:
    """Return CSV (RFC 4180) with a heading. Numbers are not rounded; None is an empty cell.

    By default, the columns are the keys of the first row. A text that a spreadsheet would
    evaluate as a formula gets an apostrophe in front.
    """
    rows = [{key: _inert(value) for key, value in row.items()} for row in rows]
    columns = columns or (list(rows[0]) if rows else [])
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters with which a formula begins in a spreadsheet (OWASP: CSV injection)."""


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def markdown_text(
    headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1
) -> str:
    """Return a table in Markdown.

    The parameter `words` is the number of columns that are aligned left. Columns to the right
    of them are aligned right.
    """
    rule = [":--" if i < words else "--:" for i in range(len(headings))]
    lines = [_line(headings), _line(rule), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    flat = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(flat)} |"


def flat(value: Mapping[str, Any]) -> dict[str, Any]:
    """Replace each interval, such as ``step_s``, by three numbers.

    The median keeps the name ``step_s``. The ends are ``step_s_low`` and ``step_s_high``.
    """
    found: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping) and "median" in inner:
            found |= {key: inner["median"]}
            found |= {f"{key}_{end}": inner[end] for end in ("low", "high")}
        else:
            found[key] = inner
    return found


def results_csv(results: Iterable[Result]) -> str:
    """Return CSV with a line for every result. Times are in seconds and sizes in bytes."""
    rows = [flat(result.as_dict()) for result in results]
    for row in rows:
        row["peak_bytes"] = row["peak_device_bytes"] or row["peak_bytes"]
        row["reason"] = row["reason"] or None
    return csv_text(rows, RESULT_COLUMNS)
