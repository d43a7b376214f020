"""``descentbench pick``: recommend a backend for a size of data on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.data_options import DataFile, data_options
from bench.commands.options import (
    Format,
    byte_size,
    count,
    format_options,
    loss_option,
    positive,
    store_option,
)
from bench.host.interrupts import exit_code

if TYPE_CHECKING:
    from backends.rows.source import Source
    from bench.pick.pipeline import Picked


@click.command()
@click.option("--rows", "-n", type=count, help="Number of rows, such as 1e9.")
@click.option("--features", type=count, help="Number of features.  [default: 1]")
@click.option(
    "--iterations", "-k", type=count, default="1000", show_default=True, help="Number of steps."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
@loss_option
@data_options
@click.option(
    *("--backend", "-b"),
    multiple=True,
    default=("*",),
    help="Name or pattern of backends to choose from; may be repeated.  [default: all]",
)
@click.option(
    *("--device", "-d"),
    multiple=True,
    metavar="DEVICE",
    help="Choose only among backends on this device, such as cuda:0; may be repeated.",
)
@click.option(
    "--loop-only",
    is_flag=True,
    help="Leave out gram techniques, which work only for squared error.",
)
@click.option(
    "--memory", type=byte_size, help="Memory to use, such as 64GB.  [default: all free memory]"
)
@click.option(
    "--budget",
    type=positive,
    default="60",
    show_default=True,
    help="Longest time for measuring, in seconds.",
)
@click.option("--fresh", is_flag=True, help="Ignore earlier measurements in the store.")
@click.option(
    "--verify",
    is_flag=True,
    help="Check the answer: measure other sizes, and print the errors of the predictions.",
)
@click.option(
    "--threads", type=count, help="Threads per library.  [default: one for each usable CPU]"
)
@store_option
@format_options
def pick(
    rows: int | None,
    features: int | None,
    iterations: int,
    dtype: str,
    loss: str,
    data: DataFile | None,
    backend: tuple[str, ...],
    device: tuple[str, ...],
    loop_only: bool,
    memory: int | None,
    budget: float,
    fresh: bool,
    verify: bool,
    threads: int | None,
    store: Path,
    output_format: Format,
) -> None:
    """Recommend a backend for your number of rows, features and iterations.

    The command times the backends at a few sizes on this machine, for at most
    --budget seconds, and predicts the time of your descent. Measurements are
    stored and used again. Ctrl-C ends the measuring and prints the answer so far.

    \b
    Examples:
      descentbench pick --rows 1e7 --iterations 1000
      descentbench pick --rows 1e9 --features 32 --iterations 100 --loop-only
      descentbench pick --data houses.csv --x area,rooms --y price
    """
    from bench.host.threads import apply

    threads = apply(threads)
    from bench.measure.known_losses import register

    minimised = register(loss)
    source: Source | None = None
    if data is not None:
        if rows or features:
            raise click.UsageError("--data cannot be combined with --rows or --features")
        source = data.open(dtype).with_loss(minimised)
        rows, features = source.rows, source.features
    if rows is None:
        raise click.UsageError("--rows is missing; give the number of rows, or --data FILE")

    from bench.pick import pipeline
    from bench.pick.progress import shown
    from bench.pick.question import Question

    question = Question(
        rows=rows,
        features=features or 1,
        iterations=iterations,
        dtype=dtype,
        backends=backend,
        devices=device,
        threads=threads,
        store=store,
        loop_only=loop_only,
        memory=memory,
        budget=budget,
        fresh=fresh,
        verify=verify,
        source=source,
        loss=minimised,
    )
    with shown(budget) as report:
        picked = pipeline.pick(question, report)
    _print(picked, output_format, verify=verify)
    if picked.interrupt is not None:
        sys.exit(exit_code(picked.interrupt))
    if picked.failed or (verify and not (picked.check and picked.check.good)):
        sys.exit(1)


def _print(picked: Picked, output_format: Format, *, verify: bool) -> None:
    from bench.pick import page
    from bench.show.console import console
    from bench.show.formats import csv_text, flat

    said = page.remarks(picked, verify=verify)
    if output_format == "json":
        print_json(page.as_json(picked, said))
    elif output_format == "csv":
        click.echo(csv_text([flat(c.as_dict()) for c in picked.answer.candidates]), nl=False)
    elif output_format == "markdown":
        click.echo(page.answer_markdown(picked.answer, said), nl=False)
    else:
        console().print(page.whole_page(picked, said))
