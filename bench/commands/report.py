"""``descentbench report``: write one page that shows all measurements."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from bench.commands.options import store_option


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULT]…")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="File of the page.",
)
@click.option("--open", "show", is_flag=True, help="Show the page in a browser.")
@store_option
def report(results: tuple[str, ...], output: Path, show: bool, store: Path) -> None:
    """Write a page of results: figures, all numbers, and a calculator.

    The calculator predicts the time of a descent with each backend.

    RESULT is a file, a folder, a name that 'run --name' gave, or a git
    revision at which results were saved. By default, the page shows all results
    in the store. Several machines are shown side by side. The page is one file
    and needs no network.

    \b
    Examples:
      descentbench report
      descentbench report --open
      descentbench report laptop.json server.json -o machines.html
    """
    from bench.report.page import write
    from bench.report.sources import sources
    from bench.results.saved import find

    found = [saved for what in results or [str(store)] for saved in find(what, store)]
    write(output, sources({saved.path: saved for saved in found}.values()))
    click.echo(f"report: {output.resolve()}")
    if show and not webbrowser.open(output.resolve().as_uri()):
        click.echo("descentbench: no browser was found; open the file by hand", err=True)
