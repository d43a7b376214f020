"""``descentbench run``: measure backends, and print tables of results."""

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
    cluster_options,
    count,
    format_options,
    loss_option,
    positive,
    store_option,
)

if TYPE_CHECKING:
    from bench.measure.plan import Stage
    from bench.results.record import Record


@click.command()
@click.option(
    "--backend",
    "-b",
    multiple=True,
    metavar="NAME",
    help="Name or pattern such as 'torch*'; may be repeated.  [default: all but gram and dask]",
)
@click.option(
    "--device",
    "-d",
    multiple=True,
    metavar="DEVICE",
    help="Measure only on this device, such as cpu or cuda:0; may be repeated.",
)
@click.option(
    "--rows", "-n", multiple=True, type=count, help="Number of rows; may be repeated."
)
@click.option(
    "--features",
    multiple=True,
    type=count,
    help="Number of features; may be repeated.  [default: 1]",
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
@loss_option
@click.option(
    "--passes",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Number of passes. A pass times every case once, in random order.",
)
@click.option(
    "--more",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Largest number of further passes for uncertain cases. The interval of an uncertain "
    "case is wider than ±10 % (with --against: ±5 % for the ratio).",
)
@click.option(
    "--seconds",
    type=positive,
    default=0.2,
    show_default=True,
    help="Seconds for which a case is timed in a pass.",
)
@click.option(
    "--timeout",
    type=positive,
    default=900.0,
    show_default=True,
    help="Seconds after which the measuring of a case is stopped.",
)
@click.option(
    "--threads",
    type=count,
    help="Threads for every library.  [default: the CPUs this process may use]",
)
@store_option
@click.option("--name", default="", help="Name of the result, for 'compare' and 'report'.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="TREE",
    help="Measure this checkout of descentbench and the one in TREE alternately, and compare.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a page of all results in the store, as 'descentbench report' does.",
)
@click.option(
    "--limit",
    is_flag=True,
    help="Show how close each library's best technique comes to the speed of memory.",
)
@data_options
@click.option(
    "--memory",
    type=byte_size,
    help="Memory for the rows of --data in a process, such as 8GB.  "
    "[default: half of the free memory]",
)
@cluster_options
@format_options
def run(
    backend: tuple[str, ...],
    device: tuple[str, ...],
    rows: tuple[int, ...],
    features: tuple[int, ...],
    dtype: str,
    loss: str,
    passes: int,
    more: int,
    seconds: float,
    timeout: float,
    threads: int | None,
    store: Path,
    name: str,
    against: Path | None,
    page: Path | None,
    limit: bool,
    data: DataFile | None,
    memory: int | None,
    output_format: Format,
) -> None:
    """Measure the backends, and print a table for each size.

    Small sizes are measured first. The table of a size is printed as soon as the
    size is measured, with the fastest backend first.
    Every library runs in a process of its own. Before and after a backend is
    timed, the weights that it computes are compared with a float64 reference.
    If a run is interrupted, give the same command again: the run continues, and
    keeps its finished measurements.

    \b
    Examples:
      descentbench run
      descentbench run --rows 1e8 --features 1 --backend numba --backend jax:loop
      descentbench run --data 'parts/*.parquet' --y price --memory 8GB
      descentbench run --limit
    """
    from bench.host.threads import apply

    threads = apply(threads)
    from bench.commands import measuring
    from bench.measure.known_losses import register
    from bench.measure.plan import Plan
    from bench.show.run import RunPage, show_results

    if page is not None:
        from bench.report.page import check

        check(page)
    if data is not None and (rows or features or limit):
        raise click.UsageError("--data cannot be combined with --rows, --features or --limit")
    minimised = register(loss)
    file = measuring.file_rows(data, memory)
    sizes = measuring.sizes(rows, features, file, dtype, limit, minimised)
    names = measuring.chosen(backend, device, minimised, roofline=limit)
    plan = Plan(
        measuring.cases(names, sizes, dtype, minimised),
        passes,
        seconds,
        measuring.baselines(file, dtype, minimised, roofline=limit),
        setup=not limit,
        more=more,
        data=file,
        by_size=against is None and not limit,
    )
    at_once = output_format == "table" and plan.by_size

    def complete(record: Record, stage: Stage) -> None:
        if at_once:
            show_results(record, stage.cases)

    saved, *others = measuring.measured(plan, threads, store, timeout, name, against, complete)
    shown = RunPage(saved.path, saved.record, limit)
    if output_format == "json":
        print_json(shown.document())
    elif at_once:
        shown.show_noise()
    elif output_format == "table":
        shown.show()
    else:
        text = shown.as_csv() if output_format == "csv" else shown.as_markdown()
        click.echo(text, nl=False)
    if against is not None:
        from bench.commands.compare import show

        show(others[0].record, saved.record, "table" if output_format == "table" else None)
    if page is not None:
        from bench.report.findings import headline
        from bench.report.page import write
        from bench.report.sources import sources as machines
        from bench.results.saved import find

        found = machines(find(str(store), store))
        write(page, found)
        click.echo(f"{headline(found[0])}; report: {page.resolve()}", err=True)
    if not shown.good:
        sys.exit(1)
