"""``descentbench backends``: what there is, and what can run here."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from bench.cli import print_json

if TYPE_CHECKING:
    from rich.table import Table

    from backends.catalogue import Entry


EXAMPLE = """
\b
Example:
  descentbench backends --json
"""


@click.command(epilog=EXAMPLE)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def backends(as_json: bool) -> None:
    """List the backends, and why those that cannot run here cannot."""
    from backends import catalogue
    from bench.table import console

    entries = catalogue.entries()
    if as_json:
        print_json([_fields(entry) for entry in entries])
    else:
        console().print(_table(entries))


def _fields(entry: Entry) -> dict[str, str | bool | None]:
    return {
        "backend": str(entry.name),
        "library": entry.name.library,
        "technique": entry.name.technique,
        "device": entry.name.device,
        "available": entry.available,
        "reason": entry.reason or None,
    }


def _table(entries: list[Entry]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("backend", "device", "available"):
        table.add_column(heading, no_wrap=True)
    table.add_column("reason", overflow="fold")
    for _, group in groupby(entries, key=lambda entry: entry.name.library):
        for entry in group:
            available = Text("yes", "green") if entry.available else Text("no", "red")
            table.add_row(str(entry.name), entry.name.device, available, Text(entry.reason))
        table.add_section()
    return table
