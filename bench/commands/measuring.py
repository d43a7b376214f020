"""Measure what the options of ``run`` request: backends, sizes and baselines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from backends import catalogue
from backends.losses import SQUARED_ERROR, Loss
from backends.names import Name
from bench.commands.data_options import DataFile, tell
from bench.host.interrupts import exit_code
from bench.host.limits import available_bytes
from bench.host.lock import hold
from bench.measure import runner as measure
from bench.measure.filerows import FileRows
from bench.measure.native import NativeError, build
from bench.measure.plan import Plan, Stage, Task
from bench.measure.runner import Runner
from bench.results.case import NATIVE, READ, Case
from bench.results.record import Record
from bench.results.saved import Saved
from bench.results.verdict import unclear
from bench.show.console import console
from bench.show.roofline import DEVICE_GRID, GRID

DEFAULT_SIZES = ((100, 1), (10_000, 1), (1_000_000, 1), (10_000_000, 1), (1_000_000, 32))
"""Default sizes of a run, as pairs of rows and features. At the small sizes, a step is limited
by latency; at the large sizes, by the speed of memory."""

Sizes = Sequence[tuple[int, int]]
"""Sizes, as pairs of rows and features."""


def chosen(
    patterns: Sequence[str], devices: Iterable[str], loss: Loss, *, roofline: bool
) -> list[Name]:
    """Return the backends to measure; print on stderr which backends are left out and why.

    By default, and for the roofline, `gram` and `dask` backends are left out. If a chosen
    backend is slower on this machine than it could be, a line on stderr says why.
    """
    names = catalogue.select(patterns or ("*",), devices, loss)
    _tell_left_out(patterns or ("*",), {name.library for name in names})
    _tell_unfit(patterns, loss)
    _tell_notes(names, loss)
    if roofline or not patterns:
        names = [name for name in names if not (name.least_squares_only or name.distributed)]
        if not names:
            raise click.UsageError(
                "--limit measures steps that read the data on this machine; steps of gram and "
                "dask backends do not"
            )
    return names


def _tell_left_out(patterns: Sequence[str], used: set[str]) -> None:
    """Print a line on stderr for each library that was requested and cannot run here."""
    missing: dict[str, str] = {}
    for backend, reason in catalogue.unavailable(patterns).items():
        missing.setdefault(Name.parse(backend).library, reason)
    for library, reason in missing.items():
        if library not in used:
            click.echo(f"descentbench: {library} is left out: {reason}", err=True)


def _tell_unfit(patterns: Sequence[str], loss: Loss) -> None:
    """Print on stderr which backends do not work for the loss.

    Each line has a reason, and the names of all backends with this reason.
    """
    unfit: dict[str, list[str]] = {}
    for entry in catalogue.entries(patterns or ("*",)):
        name, reason = entry.name, catalogue.reason_against(entry.name, loss)
        meant = any(catalogue.matches(name, p) for p in patterns) or not (
            patterns or name.least_squares_only or name.distributed
        )
        if entry.available and reason and meant:
            unfit.setdefault(reason, []).append(str(name))
    for reason, names in unfit.items():
        click.echo(f"descentbench: left out: {', '.join(names)}: {reason}", err=True)


def _tell_notes(names: Iterable[Name], loss: Loss) -> None:
    """Print a line on stderr for each backend that is slower here than it could be."""
    for name in names:
        if said := catalogue.note(name, loss):
            click.echo(f"descentbench: {name} {said}", err=True)


def sizes(
    rows: Sequence[int],
    features: Sequence[int],
    file: FileRows | None,
    dtype: str,
    limit: bool,
    loss: Loss,
) -> tuple[Sizes, Sizes]:
    """Return the sizes to measure: a list for the CPU, and a list for other devices.

    The lists are different only for ``run --limit``, whose default sizes for a GPU are larger.
    """
    if file is not None:
        source = file.open(dtype).with_loss(loss)
        tell(source)
        return ((source.rows, source.features),), ((source.rows, source.features),)
    if rows or features:
        asked = [(n, d) for d in features or (1,) for n in rows or (1_000_000,)]
        return asked, asked
    return (GRID, DEVICE_GRID) if limit else (DEFAULT_SIZES, DEFAULT_SIZES)


def cases(
    names: Iterable[Name], of: tuple[Sizes, Sizes], dtype: str, loss: Loss
) -> tuple[Case, ...]:
    """Return a case for every backend and size.

    The parameter `of` is a pair of lists: the sizes for backends on the CPU, and the sizes for
    backends on other devices.
    """
    on_cpu, on_device = of
    return tuple(
        Case(str(name), n, d, dtype, loss.name)
        for name in names
        for n, d in (on_cpu if name.device == "cpu" else on_device)
    )


def file_rows(data: DataFile | None, memory: int | None) -> FileRows | None:
    """Return the path and the options with which child processes open the data file.

    The result is None if there is no data file. `memory` is the memory limit for the rows in
    bytes; None means half of the free memory.
    """
    if data is None:
        return None
    path, most = str(data.path.absolute()), memory or available_bytes() // 2
    return FileRows(path, data.x, data.y, most, data.how)


def baselines(
    file: FileRows | None, dtype: str, loss: Loss, *, roofline: bool
) -> tuple[str, ...]:
    """Return the baselines to measure: plain reads and, if `roofline` is True, the C kernel.

    If a baseline cannot be measured, print the reason on stderr.
    """
    if roofline and loss == SQUARED_ERROR:  # the C kernel has no other loss
        try:
            build()
        except NativeError as error:
            click.echo(f"descentbench: the C kernel is not measured: {error}", err=True)
            return (READ,)
        return READ, NATIVE
    if file is not None and file.streamed(dtype):
        click.echo(
            "descentbench: the rows do not fit in memory: every step reads them anew", err=True
        )
        return ()
    return (READ,)


def measured(
    plan: Plan,
    threads: int,
    store: Path,
    timeout: float,
    name: str,
    against: Path | None,
    complete: Callable[[Record, Stage], None],
) -> list[Saved]:
    """Measure all cases of the plan, save the records, and return them.

    If `against` is given, it is the folder of another checkout of descentbench. The code of
    both checkouts is then measured alternately. After each `Stage` of the plan, `complete` is
    called with the stage and with the record of this checkout so far.
    """
    with hold(store):
        runners = [Runner(plan, threads, store, timeout, name=name)]
        if against is not None:
            name, tree = name and f"{name}-against", against.resolve()
            runners.append(Runner(plan, threads, store, timeout, name=name, tree=tree))
        records = _with_progress(runners, complete)
    return [Saved(runner.path, record) for runner, record in zip(runners, records, strict=True)]


def _with_progress(
    runners: list[Runner], complete: Callable[[Record, Stage], None]
) -> list[Record]:
    """Run the tasks of one or two runners, and show a progress bar on stderr."""
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

        def ended(_: Task) -> None:
            progress.advance(bar)

        def completed(records: Sequence[Record], stage: Stage) -> None:
            progress.stop()  # the bar would mix with the printed table
            complete(records[0], stage)
            progress.start()

        try:
            return measure.side_by_side(runners, started, ended, unclear, completed)
        except KeyboardInterrupt as interrupt:
            err.print(f"interrupted: {done()} of {total} parts are in {runners[0].path};")
            err.print("the same command continues from there")
            sys.exit(exit_code(interrupt))
