"""``descentbench run``: measure, and print the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.options import count, positive

if TYPE_CHECKING:
    from bench.measure import Runner
    from bench.record import Record

DEFAULT_SIZES = ((100, 1), (10_000, 1), (1_000_000, 1), (10_000_000, 1), (1_000_000, 32))


@click.command()
@click.option(
    "--backend",
    "-b",
    multiple=True,
    metavar="NAME",
    help="Name or pattern such as 'torch*'; may be given often.  [default: all but gram]",
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
    help="Seconds after which a child is stopped.",
)
@click.option(
    "--threads",
    type=count,
    help="Threads for every library.  [default: the CPUs this process may use]",
)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path(".benchmarks"),
    show_default=True,
    help="Folder of the results.",
)
@click.option(
    "--limit",
    is_flag=True,
    help="Show how far each library's best is from what the machine can do, at other sizes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def run(
    backend: tuple[str, ...],
    device: tuple[str, ...],
    rows: tuple[int, ...],
    features: tuple[int, ...],
    dtype: str,
    passes: int,
    seconds: float,
    timeout: float,
    threads: int | None,
    store: Path,
    limit: bool,
    as_json: bool,
) -> None:
    """Measure the backends and print a table, fastest first.

    Every library runs in a process of its own; every row is checked against
    the float64 reference before and after it is timed. A run that was
    interrupted goes on where it stopped when it is asked for again.

    \b
    Examples:
      descentbench run
      descentbench run --rows 1e8 --features 1 --backend numba --backend jax:loop
      descentbench run --limit
    """
    from bench.threads import apply

    threads = apply(threads)
    from backends import catalogue
    from bench.headroom import GRID
    from bench.measure import Plan, Runner
    from bench.row import READ, Row

    if rows or features:
        sizes = [(n, d) for d in features or (1,) for n in rows or (1_000_000,)]
    else:
        sizes = list(GRID if limit else DEFAULT_SIZES)
    names = catalogue.select(backend or ("*",))
    if device:
        names = [name for name in names if name.device in device]
        if not names:
            raise click.UsageError(f"no backend runs on {', '.join(device)} here")
    if limit or not backend:
        names = [name for name in names if not name.least_squares_only]
        if not names:
            raise click.UsageError("--limit is about steps that read the data; gram's do not")
    plan = Plan(
        tuple(Row(str(name), n, d, dtype) for n, d in sizes for name in names),
        passes,
        seconds,
        _yardsticks() if limit else (READ,),
        setup=not limit,
    )
    record = _measure(Runner(plan, threads, store, timeout))
    _show(record, limit, as_json)


def _yardsticks() -> tuple[str, ...]:
    """Name what a limit is made of here; say on stderr why the C kernel is missing."""
    from bench.native import NativeError, build
    from bench.row import NATIVE, READ

    try:
        build()
    except NativeError as error:
        click.echo(f"descentbench: no C kernel beside the backends: {error}", err=True)
        return (READ,)
    return READ, NATIVE


def _measure(runner: Runner) -> Record:
    """Run the plan under a progress bar on stderr."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from bench.table import console

    columns = (
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(bar_width=20),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    err = console(stderr=True)
    tasks = runner.plan.tasks()
    done = len(tasks) - len(runner.pending())
    with Progress(
        *columns, console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        bar = progress.add_task("", total=len(tasks), completed=done)
        try:
            return runner.run(
                started=lambda task: progress.update(bar, description=task.name),
                ended=lambda _: progress.advance(bar),
            )
        except KeyboardInterrupt:
            done = len(tasks) - len(runner.pending())
            err.print(f"interrupted: {done} of {len(tasks)} parts are in {runner.path};")
            err.print("the same command goes on from there")
            sys.exit(130)


def _show(record: Record, limit: bool, as_json: bool) -> None:
    from bench.headroom import headroom_table, limits
    from bench.summary import summarise
    from bench.table import console, results_table

    results, bounds = summarise(record), limits(record) if limit else []
    if as_json:
        rows = [result.as_dict() for result in results]
        document = {"schema": record.schema, "machine": record.machine, "results": rows}
        if limit:
            document["limit"] = [bound.as_dict() for bound in bounds]
        print_json(document)
    else:
        console().print(headroom_table(results, bounds) if limit else results_table(results))
    if not all(result.verified for result in results) or any(b.failure for b in bounds):
        sys.exit(1)
