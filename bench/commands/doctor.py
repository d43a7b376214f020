"""``descentbench doctor``: check this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.options import store_option

if TYPE_CHECKING:
    from rich.text import Text

    from bench.doctor.finding import Finding

MARKS = {"good": ("✓", "green"), "note": ("·", "yellow"), "bad": ("✗", "red")}


@click.command()
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(store: Path, as_json: bool) -> None:
    """Check what this machine offers and what would distort results; say how to correct it.

    \b
    Example:
      descentbench doctor
    """
    from bench.host.threads import apply

    apply()
    from bench.doctor.examine import examine
    from bench.show.console import console

    if as_json:
        print_json([finding.as_dict() for finding in examine(store)])
        return
    out = console()
    counts = dict.fromkeys(MARKS, 0)
    for finding in examine(store):
        counts[finding.level] += 1
        out.print(_line(finding), soft_wrap=True)
    out.print(f"\n{counts['bad']} to correct (✗), {counts['note']} to note (·)")


def _line(finding: Finding) -> Text:
    from rich.text import Text

    mark, colour = MARKS[finding.level]
    line = Text.assemble((mark, colour), f" {finding.topic}: ", (finding.found, "bold"))
    if finding.mend:
        line.append(f"\n    {finding.mend}", "dim")
    return line
