"""``descentbench fit``: the tutorial's whole job, with any backend."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bench.cli import Mistake, print_json
from bench.commands.data_options import DataFile, data_options, described
from bench.commands.options import (
    Format,
    byte_size,
    cluster_options,
    count,
    count_or_0,
    format_options,
    point,
    positive,
    rate,
    start,
)
from bench.host.interrupts import exit_code, interrupts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.rows.source import Source
    from backends.rows.streamed import Streamed
    from bench.fit.descend import Epoch, Fit

PATH = click.Path(path_type=Path)
DTYPE = click.Choice(["float32", "float64"])

EXAMPLES = """
\b
Examples:
  descentbench fit --backend torch --predict 7 --plot fit.png
  descentbench fit --data houses.csv --x area,rooms --y price --lr auto
  descentbench fit --data 'parts/*.parquet' --backend numba:parallel --memory 8GB
  descentbench fit --rows 1e9 --backend dask:numba --scheduler tcp://head:8786
"""

REASONS = {
    "steps": "all steps taken",
    "loss": "the loss is low enough",
    "tolerance": "the gradient is small enough",
}


class Diverged(Mistake):
    """The descent ran, and came to nothing."""

    exit_code = 1


@click.command(epilog=EXAMPLES)
@click.option(
    "--backend", default="numpy", show_default=True, help="LIBRARY[:TECHNIQUE][@DEVICE]"
)
@click.option("--device", help="The backend's device, such as cuda:0.  [default: cpu]")
@click.option("--rows", type=count, help="Rows to generate.  [default: 100]")
@click.option("--features", type=count, help="Features to generate.  [default: 1]")
@data_options
@click.option("--dtype", type=DTYPE, default="float32", show_default=True)
@click.option(
    "--steps",
    "--iterations",
    type=count_or_0,
    metavar="COUNT",
    default=100,
    show_default=True,
    help="Steps to take at most.",
)
@click.option(
    "--learning-rate",
    "--lr",
    type=rate,
    default=0.001,
    show_default=True,
    help="A number, or auto: 1/L, which always converges.",
)
@click.option(
    "--every",
    type=count,
    default=20,
    show_default=True,
    help="Steps from one look at w and the loss to the next.",
)
@click.option("--w0", type=start, help="Where to start: numbers, or random.  [default: zeros]")
@click.option(
    "--seed",
    type=count_or_0,
    metavar="COUNT",
    default=0,
    show_default=True,
    help="Seeds generated rows and a random start.",
)
@click.option("--until-loss", type=positive, help="Stop when a look finds the loss no higher.")
@click.option(
    "--tolerance",
    type=positive,
    help="Stop when a look finds the gradient's norm no higher than this times the first.",
)
@click.option(
    "--predict", type=point, multiple=True, help="Predict y at this x; may be repeated."
)
@click.option("--plot", type=PATH, help="Draw the data and the fit into this file.")
@click.option("--threads", type=count, help="CPU threads.  [default: all this process may use]")
@click.option(
    "--memory",
    type=byte_size,
    help="Hold no more than so much, such as 8GB; what does not fit is read anew every step.  "
    "[default: half of what is free]",
)
@click.option("--checkpoint", type=PATH, help="Keep w in this file, after every look.")
@click.option("--resume", type=PATH, help="Go on from this checkpoint, and keep it up to date.")
@cluster_options
@format_options
def fit(
    backend: str,
    device: str | None,
    rows: int | None,
    features: int | None,
    data: DataFile | None,
    dtype: str,
    steps: int,
    learning_rate: float | Literal["auto"],
    every: int,
    w0: tuple[float, ...] | Literal["random"] | None,
    seed: int,
    until_loss: float | None,
    tolerance: float | None,
    predict: tuple[tuple[float, ...], ...],
    plot: Path | None,
    threads: int | None,
    memory: int | None,
    checkpoint: Path | None,
    resume: Path | None,
    output_format: Format,
) -> None:
    """Fit ŷ = x·w by gradient descent, and predict.

    Without --data the rows are the classic tutorial's: x = 0, 0.1 … 9.9 and
    y = 2x + noise. A look at w and the loss comes after step 1, then --every
    so many, and at the end.
    """
    from bench.host.threads import apply

    apply(threads)  # before anything loads an array library

    from backends.catalogue import open_backend
    from backends.errors import DescentbenchError
    from backends.rows.streamed import Bounded
    from bench.fit.checkpoint import Track
    from bench.fit.descend import DivergenceError, automatic_rate, descend
    from bench.fit.picture import MOST_POINTS

    opened = open_backend(_with_device(backend, device))
    if plot is not None:
        from bench.fit.picture import check, save_fit

        check(plot)
    source = _source(rows, features, data, dtype, seed)
    for x in predict:
        _check_length("--predict", x, source)
    step = automatic_rate(source) if learning_rate == "auto" else learning_rate
    track = Track(source, step, _start(w0, source, seed), checkpoint, resume)
    bounded = Bounded(opened, _room(memory), lambda streamed: _announce(streamed, steps))
    try:
        with interrupts(), _progress(steps) as show:

            def seen(epoch: Epoch) -> None:
                track.keep(epoch)
                show(epoch)

            result = descend(
                bounded,
                source,
                step,
                steps=steps,
                w0=track.at.w,
                done=track.at.steps,
                every=every,
                until_loss=until_loss,
                tolerance=tolerance,
                predict=predict,
                on_epoch=seen,
            )
    except DivergenceError as error:
        raise Diverged(str(error)) from error
    except KeyboardInterrupt as interrupt:
        click.echo(f"descentbench: interrupted{track.told()}", err=True)
        sys.exit(exit_code(interrupt))
    except DescentbenchError as error:
        raise Mistake(f"{error}{track.told()}") from error
    if plot is not None:
        save_fit(plot, source.sample(MOST_POINTS), result)
    if output_format == "json":
        print_json(asdict(result) | described(source))
    elif output_format == "csv":
        click.echo(_csv(result), nl=False)
    elif output_format == "markdown":
        click.echo(_markdown(result), nl=False)
    else:
        _show(result, source)


def _with_device(backend: str, device: str | None) -> str:
    if device is None:
        return backend
    if "@" in backend:
        raise Mistake(f"--backend {backend} names a device already; leave out --device")
    return f"{backend}@{device}"


def _source(
    rows: int | None,
    features: int | None,
    data: DataFile | None,
    dtype: str,
    seed: int,
) -> Source:
    """Return the rows to generate, or those of the file."""
    if data is None:
        from backends.rows.made import Generated

        return Generated(rows or 100, features or 1, dtype, seed)
    if rows or features:
        raise Mistake("--rows and --features are for generated rows; leave out --data")
    return data.open(dtype)


def _room(memory: int | None) -> int:
    """Return the bytes that rows may take beside what this process holds."""
    from bench.host.limits import available_bytes
    from bench.host.memory import rss_bytes

    return available_bytes() // 2 if memory is None else memory - rss_bytes()


def _announce(streamed: Streamed, steps: int) -> None:
    """Say beforehand that every step reads the rows anew, and how long that takes."""
    from bench.show.text import byte_count, count, duration

    a_pass = streamed.seconds_a_pass()
    passes = steps + 1  # a look is the pass of the step after it, but for the last
    size = byte_count(streamed.source.bytes_per_step, 2)
    click.echo(
        f"{size} of rows are more than the memory allows: every step reads them anew. "
        f"A pass takes about {duration(a_pass)}, {count(passes)} of them about "
        f"{duration(passes * a_pass)}; a gram backend, such as numpy:gram, needs one.",
        err=True,
    )


def _start(
    w0: tuple[float, ...] | Literal["random"] | None, problem: Source, seed: int
) -> tuple[float, ...] | None:
    if w0 == "random":
        import numpy as np

        return tuple(np.random.default_rng(seed).standard_normal(problem.features))
    if w0 is not None:
        _check_length("--w0", w0, problem)
    return w0


def _check_length(option: str, numbers: tuple[float, ...], problem: Source) -> None:
    if len(numbers) != problem.features:
        raise Mistake(
            f"{option} must have as many numbers as the data have features, "
            f"{problem.features}, not {len(numbers)}"
        )


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[Epoch], None]]:
    """Show the epochs go by on stderr, if it is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("Descending", total=steps)
        yield lambda epoch: progress.update(task, completed=epoch.epoch)


HEADINGS = "epoch", "w", "loss"


def _rows(result: Fit) -> list[tuple[str, str, str]]:
    from bench.fit.descend import number_text, weights_text

    return [(str(e.epoch), weights_text(e.w), number_text(e.loss)) for e in result.epochs]


def _csv(result: Fit) -> str:
    """Return the epochs, a column for each weight: w1, w2, …; numbers in full."""
    from bench.show.formats import csv_text

    rows = []
    for epoch in result.epochs:
        weights = {f"w{i + 1}": w for i, w in enumerate(epoch.w)}
        rows.append({"epoch": epoch.epoch, **weights, "loss": epoch.loss})
    return csv_text(rows, ["epoch", *(f"w{i + 1}" for i in range(len(result.w))), "loss"])


def _markdown(result: Fit) -> str:
    from bench.show.formats import markdown_text

    return markdown_text(HEADINGS, _rows(result), words=0)


def _show(result: Fit, problem: Source) -> None:
    """Print the fit for people."""
    from rich.console import Console
    from rich.table import Table

    from bench.fit.descend import number_text, weights_text

    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="right")
    for row in _rows(result):
        table.add_row(*row)

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"data: {problem.source}; n = {problem.rows}, d = {problem.features}")
    console.print(
        f"{result.backend}, {problem.dtype}, learning rate {result.learning_rate:.6g}\n"
    )
    if result.epochs:
        console.print(table)
    console.print(f"\nw = {weights_text(result.w)} and loss = {number_text(result.loss)}")
    console.print(f"stopped at epoch {result.steps}: {REASONS[result.stopped]}")
    for prediction in result.predictions:
        x = ", ".join(f"{value:g}" for value in prediction.x)
        console.print(f"prediction at x = {x}: {number_text(prediction.y)}")
