"""``descentbench plot``: write figures to files, for a paper or a slide."""

from __future__ import annotations

from pathlib import Path

import click

from bench.commands.options import store_option


class Figures(click.Choice[str]):
    """Option type for the name of a figure.

    The names are imported when they are needed, because the import also loads NumPy.
    """

    def __init__(self) -> None:
        self.case_sensitive = True

    @property
    def choices(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of all figures, in the order of drawing."""
        from bench.report.drawings import FIGURES

        return tuple(FIGURES)


@click.command()
@click.argument("results", nargs=-1, metavar="[RESULT]…")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("plots"),
    show_default=True,
    help="Folder of the figures.",
)
@click.option(
    "--format",
    "-f",
    "formats",
    multiple=True,
    type=click.Choice(["svg", "png", "pdf"]),
    default=("svg",),
    help="Format of the figures; may be repeated.  [default: svg]",
)
@click.option(
    "--figure",
    "names",
    multiple=True,
    type=Figures(),
    help="Figure to draw; may be repeated.  [default: all]",
)
@store_option
def plot(
    results: tuple[str, ...],
    output: Path,
    formats: tuple[str, ...],
    names: tuple[str, ...],
    store: Path,
) -> None:
    """Draw figures of results, as wide as a column of a paper.

    There are four kinds of figures: the time of a step against the number of
    rows; the share of the memory bandwidth that a step uses; the parts of the
    total time; and a map of the fastest backend. Each figure is drawn for every
    measured number of features and dtype.

    RESULT is a file, a folder, a name that 'run --name' gave, or a git
    revision at which results were saved. By default, all results in the store
    are used. If the results come from several machines, only the results of one
    machine are drawn: the machine with the newest result.

    \b
    Examples:
      descentbench plot
      descentbench plot laptop.json -o figures --format png --format svg
    """
    from bench.report.figure_files import save_all
    from bench.report.sources import sources
    from bench.results.saved import find

    found = [saved for what in results or [str(store)] for saved in find(what, store)]
    newest, *others = sources({saved.path: saved for saved in found}.values())
    for path in save_all(newest, output, formats, names):
        click.echo(path)
    if others:
        click.echo(
            f"drawn: {newest.label}; left out: {', '.join(s.label for s in others)}", err=True
        )
