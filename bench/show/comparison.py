"""Write the comparison of two results as tables for the console, Markdown, CSV or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from bench.results.record import Record, printable
from bench.results.verdict import Comparison, tally
from bench.show.console import Columns, console
from bench.show.formats import csv_text, markdown_text
from bench.show.text import count, data_text, seconds

HEADINGS = "backend", "verdict", "rows", "features", "dtype", "old", "new", "new ÷ old", "95 %"

MARKS = {"faster": "▼ faster", "slower": "▲ slower", "same": "= same", "failed": "✗ failed"}
"""Text for each verdict. ▼ means that the time decreased, ▲ that it increased, ✗ that a time is
missing."""

COLOURS = {"faster": "green", "slower": "red", "failed": "red"}


def comparison_document(
    old: Record,
    new: Record,
    found: Sequence[Comparison],
    unlike: Sequence[str],
    changed: Sequence[str],
) -> dict[str, Any]:
    """Return the JSON document that ``compare --json`` prints."""
    return {
        "schema": new.schema,
        "old": _side(old),
        "new": _side(new),
        "unlike": list(unlike),
        "versions": list(changed),
        "comparisons": [c.as_dict() for c in found],
    }


def _side(record: Record) -> dict[str, str]:
    return {"created": record.created, "name": record.name, "revision": record.revision}


def comparison_csv(found: Sequence[Comparison]) -> str:
    """Return CSV with a line for every comparison. Numbers are not rounded."""
    return csv_text([c.as_dict() for c in found])


def comparison_markdown(found: Sequence[Comparison]) -> str:
    """Return the table of all comparisons in Markdown."""
    return markdown_text(HEADINGS, [_cells(c) for c in found], words=2)


def print_comparison(found: Sequence[Comparison], remarks: Sequence[str]) -> None:
    """Print a table of the comparisons, and notes below the table.

    The notes are the reasons of failures, `remarks`, and the number of cases of each verdict.
    """
    headings = "backend", "", "rows", "×", "dtype", "old", "new", "new ÷\nold", "95 %"
    table = Columns(*headings, words=(0, 1, 4))
    for c in found:
        name, verdict, *figures = _cells(c)
        table.add_row(name, Text(verdict, COLOURS.get(c.verdict, "")), *figures)
    out = console()
    out.print(table)
    for line in [*_reasons(found), *remarks, tally(found)]:
        out.print(line)


def _reasons(found: Sequence[Comparison]) -> list[str]:
    """Return a line for each reason why a comparison failed or is doubtful.

    The line also lists the cases that failed or are doubtful for this reason.
    """
    cases: dict[str, list[str]] = {}
    for c in found:
        if c.reason:
            cases.setdefault(printable(c.reason), []).append(str(c.case))
    return [
        f"{reason}: {'all' if len(of) == len(found) else ', '.join(of)}"
        for reason, of in cases.items()
    ]


def _cells(c: Comparison) -> list[str]:
    case = c.case
    ratio = "–" if c.ratio is None else f"{c.ratio:.3f}"
    interval = "–" if c.low is None or c.high is None else f"{c.low:.2f}–{c.high:.2f}"
    return [
        *(case.backend, MARKS.get(c.verdict, c.verdict), count(case.rows)),
        *(count(case.features), data_text(case.dtype, case.loss)),
        *(seconds(c.old_s), seconds(c.new_s), ratio, interval),
    ]
