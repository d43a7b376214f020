"""``descentbench backends``: list all backends, and whether each can run here."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.options import Format, format_options, loss_option

if TYPE_CHECKING:
    from backends.catalogue import Entry
    from bench.show.console import Columns

HEADINGS = "backend", "device", "available", "reason"

EXAMPLE = """
\b
Example:
  descentbench backends --json
"""


@click.command(epilog=EXAMPLE)
@loss_option
@format_options
def backends(loss: str, output_format: Format) -> None:
    """List all backends, and why some cannot run or are slow on this machine.

    A backend that does not work for the --loss is listed as not available.
    """
    from backends import catalogue
    from backends.losses import find
    from bench.show.console import console
    from bench.show.formats import csv_text, markdown_text

    minimised = find(loss)
    entries = {
        entry: catalogue.note(entry.name, minimised) if entry.available else ""
        for entry in catalogue.entries(loss=minimised)
    }
    if output_format == "json":
        print_json([entry.as_dict(note) for entry, note in entries.items()])
    elif output_format == "csv":
        click.echo(csv_text([entry.as_dict(note) for entry, note in entries.items()]), nl=False)
    elif output_format == "markdown":
        rows = [_cells(*entry) for entry in entries.items()]
        click.echo(markdown_text(HEADINGS, rows, words=len(HEADINGS)), nl=False)
    else:
        console().print(_table(entries))


def _cells(entry: Entry, note: str) -> list[str]:
    available = "yes" if entry.available else "no"
    return [str(entry.name), entry.name.device, available, entry.reason or note]


def _table(entries: dict[Entry, str]) -> Columns:
    from rich.text import Text

    from bench.show.console import Columns

    table = Columns(*HEADINGS, words=range(len(HEADINGS)), sentences=[len(HEADINGS) - 1])
    for _, group in groupby(entries, key=lambda entry: entry.name.library):
        for entry in group:
            name, device, available, reason = _cells(entry, entries[entry])
            style = "green" if entry.available else "red"
            table.add_row(name, device, Text(available, style), reason)
        table.add_section()
    return table
