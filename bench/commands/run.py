"""``descentbench run``: measure, and print the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.data_options import DataFile, data_options, tell
from bench.commands.options import (
    Format,
    byte_size,
    cluster_options,
    count,
    format_options,
    positive,
    store_option,
)
from bench.host.interrupts import exit_code

if TYPE_CHECKING:
    from bench.measure.filerows import FileRows
    from bench.measure.plan import Task
    from bench.measure.runner import Runner
    from bench.results.record import Record

DEFAULT_SIZES = ((100, 1), (10_000, 1), (1_000_000, 1), (10_000_000, 1), (1_000_000, 32))


@click.command()
@click.option(
    "--backend",
    "-b",
    multiple=True,
    metavar="NAME",
    help="Name or pattern such as 'torch*'; may be given often.  "
    "[default: all but gram and dask]",
)
@click.option(
    "--device",
    "-d",
    multiple=True,
    metavar="DEVICE",
    help="Only on this device, such as cpu or cuda:0; may be given often.",
)
@click.option(
    "--rows", "-n", multiple=True, type=count, help="Rows, such as 1e6; may be given often."
)
@click.option(
    "--features", multiple=True, type=count, help="Features; may be given often.  [default: 1]"
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True
)
@click.option(
    "--passes",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Shuffled repetitions of the hot loop.",
)
@click.option(
    "--more",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Further passes, at most, of rows that are still unstable (beyond ±10 %; of "
    "--against, rows whose ratio is not known to ±5 %).",
)
@click.option(
    "--seconds",
    type=positive,
    default=0.2,
    show_default=True,
    help="Sampling time a row in a pass.",
)
@click.option(
    "--timeout",
    type=positive,
    default=900.0,
    show_default=True,
    help="Seconds after which a row is given up, in each process.",
)
@click.option(
    "--threads",
    type=count,
    help="Threads for every library.  [default: the CPUs this process may use]",
)
@store_option
@click.option("--name", default="", help="Call the result so, for 'compare' and 'report'.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="TREE",
    help="Measure another checkout of descentbench in turn with this one, and compare.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the page of all results in the store, too; see 'descentbench report'.",
)
@click.option(
    "--limit",
    is_flag=True,
    help="Show how far each library's best is from what the machine can do, at other sizes.",
)
@data_options
@click.option(
    "--memory",
    type=byte_size,
    help="A process may hold so much of --data, such as 8GB.  [default: half of what is free]",
)
@cluster_options
@format_options
def run(
    backend: tuple[str, ...],
    device: tuple[str, ...],
    rows: tuple[int, ...],
    features: tuple[int, ...],
    dtype: str,
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
    """Measure the backends and print a table, fastest first.

    Every library runs in a process of its own; every row is checked against
    the float64 reference before and after it is timed. A run that was
    interrupted goes on where it stopped when it is asked for again.

    \b
    Examples:
      descentbench run
      descentbench run --rows 1e8 --features 1 --backend numba --backend jax:loop
      descentbench run --data 'parts/*.parquet' --y price --memory 8GB
      descentbench run --limit
    """
    from bench.host.threads import apply

    threads = apply(threads)
    from backends import catalogue
    from bench.host.lock import hold
    from bench.measure.plan import Plan
    from bench.measure.runner import Runner
    from bench.results.case import Case
    from bench.show.roofline import DEVICE_GRID, GRID

    if page is not None:
        from bench.report.page import check

        check(page)
    file_rows = None
    if data is not None:
        if rows or features or limit:
            raise click.UsageError("--data has rows and features of its own")
        file_rows, sizes = _file_rows(data, memory, dtype)
        on_device = sizes
    elif rows or features:
        on_device = sizes = [(n, d) for d in features or (1,) for n in rows or (1_000_000,)]
    elif limit:
        sizes, on_device = list(GRID), list(DEVICE_GRID)
    else:
        on_device = sizes = list(DEFAULT_SIZES)
    names = catalogue.select(backend or ("*",), device)
    if limit or not backend:
        names = [name for name in names if not (name.least_squares_only or name.distributed)]
        if not names:
            raise click.UsageError(
                "--limit is about steps that read the data here; gram's and dask's do not"
            )
    measured = tuple(
        Case(str(name), n, d, dtype)
        for name in names
        for n, d in (sizes if name.device == "cpu" else on_device)
    )
    plan = Plan(
        measured,
        passes,
        seconds,
        _yardsticks() if limit else _beside(file_rows, dtype),
        setup=not limit,
        more=more,
        data=file_rows,
    )
    with hold(store):
        runners = [Runner(plan, threads, store, timeout, name=name)]
        if against is not None:
            name, tree = name and f"{name}-against", against.resolve()
            runners.append(Runner(plan, threads, store, timeout, name=name, tree=tree))
        records = _measure(runners)
    right = _show(records[0], runners[0].path, limit, output_format)
    if against is not None:
        from bench.commands.compare import show

        show(records[1], records[0], "table" if output_format == "table" else None)
    if page is not None:
        from bench.report.page import write
        from bench.report.sources import sources
        from bench.results.saved import find

        write(page, sources(find(str(store), store)))
        click.echo(f"report: {page.resolve()}", err=True)
    if not right:
        sys.exit(1)


def _file_rows(
    data: DataFile, memory: int | None, dtype: str
) -> tuple[FileRows, list[tuple[int, int]]]:
    """Return the file's rows and their size."""
    from bench.host.limits import available_bytes
    from bench.measure.filerows import FileRows

    path, most = str(data.path.absolute()), memory or available_bytes() // 2
    found = FileRows(path, data.x, data.y, most, data.how)
    source = found.open(dtype)
    tell(source)
    return found, [(source.rows, source.features)]


def _beside(file_rows: FileRows | None, dtype: str) -> tuple[str, ...]:
    """Name the yardsticks of an ordinary run: none where the bytes do not fit in memory."""
    from bench.results.case import READ

    if file_rows is None or not file_rows.streamed(dtype):
        return (READ,)
    click.echo("descentbench: the rows do not fit: every step reads them anew", err=True)
    return ()


def _yardsticks() -> tuple[str, ...]:
    """Name what a limit is made of here; say on stderr why the C kernel is missing."""
    from bench.measure.native import NativeError, build
    from bench.results.case import NATIVE, READ

    try:
        build()
    except NativeError as error:
        click.echo(f"descentbench: no C kernel beside the backends: {error}", err=True)
        return (READ,)
    return READ, NATIVE


def _measure(runners: list[Runner]) -> list[Record]:
    """Run the plan in every tree, in turn, under a progress bar on stderr."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bench.measure.runner import side_by_side
    from bench.results.verdict import unclear
    from bench.show.columns import console

    columns = (
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    err = console(stderr=True)
    total = sum(len(runner.plan.tasks()) for runner in runners)

    def done() -> int:
        return total - sum(len(runner.pending()) for runner in runners)

    with Progress(
        *columns, console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        bar = progress.add_task("", total=total, completed=done())

        def started(task: Task) -> None:
            further = progress.tasks[bar].completed + 1 - total
            progress.update(bar, description=task.name, total=total + max(0, further))

        try:
            return side_by_side(
                runners,
                started=started,
                ended=lambda _: progress.advance(bar),
                unclear=unclear,
            )
        except KeyboardInterrupt as interrupt:
            err.print(f"interrupted: {done()} of {total} parts are in {runners[0].path};")
            err.print("the same command goes on from there")
            sys.exit(exit_code(interrupt))


def _show(record: Record, path: Path, limit: bool, output_format: Format) -> bool:
    """Print the results; return whether every row was right."""
    from bench.host.noise import noticed
    from bench.results.summary import summarise
    from bench.show.columns import console
    from bench.show.formats import results_csv
    from bench.show.roofline import limits, roofline_table
    from bench.show.table import results_markdown, results_table

    results, bounds = summarise(record), limits(record) if limit else []
    disturbed = noticed(task.noise for task in record.tasks.values())
    if output_format == "json":
        rows = [result.as_dict() for result in results]
        document = {"schema": record.schema, "machine": record.machine, "results": rows}
        document["noise"] = disturbed
        document["record"] = str(path.absolute())  # 'report' and 'compare' find it by this
        if limit:
            document["limit"] = [bound.as_dict() for bound in bounds]
        print_json(document)
    elif output_format == "csv":
        click.echo(results_csv(results), nl=False)
    elif output_format == "markdown":
        click.echo(results_markdown(results), nl=False)
    else:
        console().print(roofline_table(results, bounds) if limit else results_table(results))
        for line in disturbed:
            console().print(f"noise: {line}", style="yellow")
    return all(result.verified for result in results) and not any(b.failure for b in bounds)
