"""``descentbench predict``: predict y for the rows of a file, with a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.commands.data_options import DataFile, data_options, tell
from bench.show.mistake import Mistake

if TYPE_CHECKING:
    from backends.rows.source import Source
    from bench.fit.model import Model

EXAMPLES = """
\b
Examples:
  descentbench predict model.json --data houses.csv
  descentbench predict model.json --data 'parts/*.parquet' -o predicted.parquet
"""


@click.command(epilog=EXAMPLES)
@click.argument("model_file", metavar="MODEL", type=click.Path(path_type=Path))
@data_options
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    default=Path("-"),
    show_default="CSV on standard output",
    help="Write to this file, .csv or .parquet.",
)
def predict(model_file: Path, data: DataFile | None, output: Path) -> None:
    """Predict y for the rows of a file, with a fitted model.

    MODEL is a file that 'fit --output' wrote. The columns of the model
    are found in the data by their names. If the data have other names, list
    these names with --x, in the order of the model's columns.

    A prediction is the probability that y is 1 for log_loss, the expected count
    for poisson, and a value of y for any other loss. With --y or --target, the
    output also has a column with the actual y. Files can be larger than memory.
    """
    from bench.fit.model import read_model
    from bench.fit.predictions import check_output, predictions, writer

    if data is None:
        raise Mistake("predict needs the rows of a file; add --data FILE")
    model = read_model(model_file)
    source, target = _opened(data, model, model_file)
    files = source.origin.files if source.origin else ()
    check_output(output, (*files, str(model_file)))
    with writer(output) as out:
        for columns in predictions(source, model, target):
            out.write(columns)


def _opened(data: DataFile, model: Model, model_file: Path) -> tuple[Source, str | None]:
    """Open the model's columns in the data file; return the rows and the name of y.

    The name is None if neither a column with y (--y) nor a file with y (--target) was given.
    """
    from backends.errors import ProblemError
    from backends.rows.datafile import open_features
    from backends.rows.reading import Reading

    wanted = data.x or model.columns
    if len(wanted) != len(model.columns):
        raise Mistake(
            f"--x names {len(wanted)} columns, but {model_file} needs {len(model.columns)}: "
            f"{_named(model.columns)}"
        )
    if data.y is not None or "target" in data.how:
        source = replace(data, x=wanted).open("float64")
        return source, source.origin.y if source.origin else "y"
    try:
        source, unused = open_features(data.path, wanted, "float64", Reading(**data.how))
    except ProblemError as error:
        if "there is no column" not in str(error) and "there are no columns" not in str(error):
            raise
        raise Mistake(
            f"{error}; {model_file} needs {_named(model.columns)} (--x gives other names)"
        ) from error
    tell(source)
    left = [name for name in unused if name != model.source.get("target")]
    if left:
        click.echo(f"descentbench: {data.path}: not used: {_named(left)}", err=True)
    return source, None


def _named(names: tuple[str, ...] | list[str]) -> str:
    from backends.rows.columns import listing

    return listing(names)
