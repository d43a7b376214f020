"""The command ``descentbench fit``: fit a model to data by gradient descent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from bench.cli import print_json
from bench.commands.data_options import DataFile, data_options, described
from bench.commands.options import (
    Format,
    byte_size,
    cluster_options,
    count,
    count_or_0,
    format_options,
    loss_option,
    point,
    positive,
    rate,
    start,
)
from bench.host.interrupts import exit_code, interrupts
from bench.show.mistake import Mistake

if TYPE_CHECKING:
    from backends.rows.streamed import Bounded, Streamed
    from bench.fit.checkpoint import Track
    from bench.fit.descend import Epoch, Fit
    from bench.fit.outcome import Outcome
    from bench.fit.scaled import Prepared

PATH = click.Path(path_type=Path)
DTYPE = click.Choice(["float32", "float64"])

EXAMPLES = """
\b
Examples:
  descentbench fit --backend torch --predict 7 --plot fit.png
  descentbench fit --data houses.csv --y price --intercept --standardize --lr auto
  descentbench fit --data 'parts/*.parquet' --backend numba:parallel --memory 8GB
  descentbench fit --data houses.csv --intercept --standardize -o model.json
  descentbench fit --rows 1e9 --backend dask:numba --scheduler tcp://head:8786
"""


class Diverged(Mistake):
    """The descent diverges."""

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
@loss_option
@click.option("--intercept", is_flag=True, help="Fit an intercept, too: ŷ = x·w + intercept.")
@click.option(
    "--standardize",
    is_flag=True,
    help="Scale the columns during the descent; with --intercept, also centre them. The "
    "printed w is for the unscaled data.",
)
@click.option(
    "--steps",
    "--iterations",
    type=count_or_0,
    metavar="COUNT",
    default=100,
    show_default=True,
    help="Largest number of steps.",
)
@click.option(
    "--learning-rate",
    "--lr",
    type=rate,
    default=0.001,
    show_default=True,
    help="A number, or auto: a rate that always converges. poisson has no such rate.",
)
@click.option(
    "--every",
    type=count,
    default=20,
    show_default=True,
    help="Steps between two reports of w and the loss.",
)
@click.option("--w0", type=start, help="First w: numbers, or random.  [default: zeros]")
@click.option(
    "--seed",
    type=count_or_0,
    metavar="COUNT",
    default=0,
    show_default=True,
    help="Seed of generated rows and of a random first w.",
)
@click.option("--until-loss", type=positive, help="Stop at a report with at most this loss.")
@click.option(
    "--tolerance",
    type=positive,
    help="Stop at a report whose gradient norm is at most this multiple of the first norm.",
)
@click.option(
    "--predict", type=point, multiple=True, help="Predict y at this x; may be repeated."
)
@click.option(
    "--output",
    "-o",
    type=PATH,
    help="Write the model to this file, for 'descentbench predict'.",
)
@click.option("--plot", type=PATH, help="Draw the data and the fit into this file.")
@click.option("--threads", type=count, help="CPU threads.  [default: all this process may use]")
@click.option(
    "--memory",
    type=byte_size,
    help="Memory for the rows, such as 8GB. Rows that do not fit are read in every step.  "
    "[default: half of the free memory]",
)
@click.option("--checkpoint", type=PATH, help="Write w to this file at every report.")
@click.option(
    "--resume", type=PATH, help="Continue from this checkpoint; it is updated at every report."
)
@cluster_options
@format_options
def fit(
    backend: str,
    device: str | None,
    rows: int | None,
    features: int | None,
    data: DataFile | None,
    dtype: str,
    loss: str,
    intercept: bool,
    standardize: bool,
    steps: int,
    learning_rate: float | Literal["auto"],
    every: int,
    w0: tuple[float, ...] | Literal["random"] | None,
    seed: int,
    until_loss: float | None,
    tolerance: float | None,
    predict: tuple[tuple[float, ...], ...],
    output: Path | None,
    plot: Path | None,
    threads: int | None,
    memory: int | None,
    checkpoint: Path | None,
    resume: Path | None,
    output_format: Format,
) -> None:
    """Fit the model ŷ = x·w to data by gradient descent.

    ŷ is the predicted y. --predict also prints ŷ for an x of your choice.
    Without --data, the rows are generated. By default, x is 0, 0.1 … 9.9 and
    y is 2x + noise. A report is a line with w and the loss. Reports come
    after step 1, after every --every steps, and after the last step.
    """
    from bench.host.threads import apply

    apply(threads)  # before any array library is loaded

    from backends.losses import find
    from backends.rows.streamed import Bounded
    from bench.fit import inputs
    from bench.fit.advice import before
    from bench.fit.checkpoint import Track
    from bench.fit.model import check_writable, write_model
    from bench.fit.outcome import conclude, model_of
    from bench.fit.picture import MOST_POINTS, check, save_fit
    from bench.fit.rate import AUTOMATIC, automatic_rate
    from bench.fit.scaled import prepare

    minimised = find(loss)
    opened = inputs.open_for(minimised, inputs.on_device(backend, device))
    if plot is not None:
        check(plot)
    if output is not None:
        check_writable(output, data.files() if data else ())
    file = data.open if data else None
    read_as = "float64" if file and standardize else dtype  # rounded to dtype after centring
    raw = inputs.open_rows(rows, features, file, read_as, seed, minimised)
    for x in predict:
        inputs.check_length("--predict", x, raw)
    send = inputs.distributed(opened)
    ready = prepare(raw, dtype, intercept=intercept, standardize=standardize, send=send)
    for said in before(ready):
        click.echo(f"descentbench: {said}", err=True)
    step = automatic_rate(ready.source) if learning_rate == "auto" else learning_rate
    track = Track(ready, step, inputs.first_w(w0, ready, seed), checkpoint, resume)

    def streams(streamed: Streamed) -> None:
        click.echo(inputs.streaming_text(streamed, steps), err=True)

    bounded = Bounded(opened, inputs.room_bytes(memory), streams)
    stops = {"steps": steps, "every": every, "until_loss": until_loss, "tolerance": tolerance}
    advice = "" if learning_rate == "auto" else AUTOMATIC
    result = _descended(bounded, ready, step, track, stops, advice)
    outcome = conclude(result, ready, predict, bounded.memory_bytes)
    if plot is not None:
        save_fit(plot, ready.raw.sample(MOST_POINTS), outcome.fit)
    if output is not None:
        write_model(output, model_of(outcome, ready))
    _show(outcome, ready, output_format)


def _descended(
    backend: Bounded,
    ready: Prepared,
    step: float,
    track: Track,
    stops: dict[str, Any],
    automatic: str,
) -> Fit:
    """Run the descent, save checkpoints, and show the progress."""
    from backends.errors import DescentbenchError
    from bench.fit import inputs
    from bench.fit.descend import descend
    from bench.fit.rate import DivergenceError, affordable, check_rate

    source, steps = ready.source, stops["steps"]
    try:
        if affordable(source, backend.memory_bytes) and track.at.steps < steps:
            check_rate(source.reference, step, track.at.w)
        with interrupts(), inputs.progress(steps) as show:

            def seen(epoch: Epoch) -> None:
                track.keep(epoch)
                show(epoch)

            begin: dict[str, Any] = {"w0": track.at.w, "done": track.at.steps}
            begin |= {"on_epoch": seen, "automatic": automatic}
            return descend(backend, source, step, **begin, **stops)
    except DivergenceError as error:
        raise Diverged(str(error)) from error
    except KeyboardInterrupt as interrupt:
        click.echo(f"descentbench: interrupted{track.told()}", err=True)
        sys.exit(exit_code(interrupt))
    except DescentbenchError as error:
        raise Mistake(f"{error}{track.told()}") from error


def _show(outcome: Outcome, ready: Prepared, output_format: Format) -> None:
    """Print the fit in the requested format on stdout, and remarks on stderr."""
    from bench.fit import page

    for said in outcome.remarks:
        click.echo(f"descentbench: {said}", err=True)
    if output_format == "json":
        print_json(page.fields(outcome, ready) | described(ready.raw))
    elif output_format == "table":
        page.print_fit(outcome, ready)
    else:
        as_text = page.as_csv if output_format == "csv" else page.as_markdown
        click.echo(as_text(outcome.fit), nl=False)
