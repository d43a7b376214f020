"""``descentbench compare``: what became faster or slower between two results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.options import Format, format_options, share, store_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.results.record import Record
    from bench.results.verdict import Comparison
    from bench.show.columns import Columns


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-slower",
    type=share,
    metavar="SHARE",
    help="Exit 1 if anything is slower, for certain, by more than this, such as 10%.",
)
@click.option("--force", is_flag=True, help="Compare what was measured under other conditions.")
@store_option
@format_options
def compare(
    old: str,
    new: str,
    fail_slower: float | None,
    force: bool,
    store: Path,
    output_format: Format,
) -> None:
    """Say of every backend and size whether NEW is faster or slower than OLD.

    OLD and NEW are files, names that 'run --name' gave, or git revisions at
    which results were saved. A verdict takes more than one pass in both (3 or
    more are better), allows for making many comparisons, and calls nothing a
    change below 2 %. Runs taken in turn ('run --against TREE') are the
    surest: what happened to the machine then happened to both.

    \b
    Examples:
      descentbench compare before after
      descentbench compare 1f3a9c2 8d20b71 --fail-slower 10%
    """
    from bench.results.record import RecordError
    from bench.results.saved import newest_timed

    pair = [newest_timed(what, store) for what in (old, new)]
    before, after = (saved.record for saved in pair)
    if pair[0].path == pair[1].path:
        raise RecordError(f"{old!r} and {new!r} are the same result, {pair[0].path}")
    found = show(before, after, output_format, force=force)
    from bench.results.verdict import slower_than

    if fail_slower is not None and slower_than(found, fail_slower):
        sys.exit(1)


def show(
    old: Record, new: Record, output_format: Format | None, *, force: bool = False
) -> list[Comparison]:
    """Compare and print; a format of None prints nothing.

    Raises
    ------
    RecordError
        The two are unlike, and not forced, or have nothing in common.
    """
    from bench.results.record import RecordError
    from bench.results.verdict import compare as hold
    from bench.results.verdict import differences, tally, versions_changed
    from bench.show.columns import console
    from bench.show.formats import csv_text, markdown_text

    unlike = differences(old, new)
    if unlike and not force:
        raise RecordError(f"{'; '.join(unlike)}: not to be compared (--force does it anyway)")
    found = hold(old, new)
    changed = versions_changed(old, new)
    if output_format == "json":
        document = {"schema": new.schema, "old": _side(old), "new": _side(new)}
        print_json(
            document
            | {"unlike": unlike, "versions": changed}
            | {"comparisons": [c.as_dict() for c in found]}
        )
    elif output_format == "csv":
        click.echo(csv_text([c.as_dict() for c in found]), nl=False)
    elif output_format == "markdown":
        click.echo(markdown_text(HEADINGS, [_cells(c) for c in found], words=2), nl=False)
    elif output_format == "table":
        out = console()
        out.print(_table(found))
        for line in [*_reasons(found), *unlike, *changed]:
            out.print(line, markup=False)
        out.print(tally(found))
    return found


def _reasons(found: Sequence[Comparison]) -> list[str]:
    """Say in a line each why rows failed or can't be told, and which they are."""
    from bench.results.record import printable

    rows: dict[str, list[str]] = {}
    for c in found:
        if c.reason:
            rows.setdefault(printable(c.reason), []).append(str(c.case))
    return [
        f"{reason}: {'all' if len(of) == len(found) else ', '.join(of)}"
        for reason, of in rows.items()
    ]


def _side(record: Record) -> dict[str, str]:
    return {"created": record.created, "name": record.name, "revision": record.revision}


HEADINGS = "backend", "verdict", "rows", "features", "dtype", "old", "new", "new ÷ old", "95 %"

MARKS = {"faster": "▼ faster", "slower": "▲ slower", "same": "= same", "failed": "✗ failed"}
"""The time goes down, or up."""

COLOURS = {"faster": "green", "slower": "red", "failed": "red"}


def _cells(c: Comparison) -> list[str]:
    from bench.show.text import count, seconds

    case = c.case
    ratio = "–" if c.ratio is None else f"{c.ratio:.3f}"
    interval = "–" if c.low is None or c.high is None else f"{c.low:.2f}–{c.high:.2f}"
    return [
        *(
            case.backend,
            MARKS.get(c.verdict, c.verdict),
            count(case.rows),
            count(case.features),
        ),
        *(case.dtype, seconds(c.old_s), seconds(c.new_s), ratio, interval),
    ]


def _table(found: Sequence[Comparison]) -> Columns:
    from rich.text import Text

    from bench.show.columns import Columns

    headings = "backend", "", "rows", "×", "dtype", "old", "new", "new ÷\nold", "95 %"
    table = Columns(*headings, words=(0, 1, 4))
    for c in found:
        cells = _cells(c)
        style = COLOURS.get(c.verdict, "")
        table.add_row(*(Text(cell, style if i == 1 else "") for i, cell in enumerate(cells)))
    return table
