"""Define options that several commands share, and functions that parse the text of an option.

If the text is not valid, the function reports the mistake in one line.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import click


def count(text: str) -> int:
    """Parse a whole number above 0, such as ``1000``, ``1e6`` or ``1_000_000``."""
    return _whole(text, least=1)


def count_or_0(text: str) -> int:
    """Parse a whole number of at least 0."""
    return _whole(text, least=0)


def _whole(text: str, least: int) -> int:
    number = _finite(text)
    if number is None or not number.is_integer() or number < least:
        raise click.BadParameter(f"{text!r} is not a whole number of at least {least}")
    return int(number)


def positive(text: str) -> float:
    """Parse a finite number above 0."""
    number = _finite(text)
    if number is None or number <= 0:
        raise click.BadParameter(f"{text!r} is not a finite number above 0")
    return number


def share(text: str) -> float:
    """Parse a share, such as ``10%`` or ``0.1``."""
    number = _finite(text.removesuffix("%"))
    if number is None or number < 0:
        raise click.BadParameter(f"{text!r} is not a share such as 10%")
    return number / 100 if text.endswith("%") else number


def byte_size(text: str) -> int:
    """Parse a size in bytes: 64GB (64·10⁹), 512MiB (512·2²⁰), or a number without a unit."""
    parts = re.fullmatch(r"\s*([0-9.e+]+)\s*([kMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    number = _finite(parts[1]) if parts else None
    if parts is None or number is None or number <= 0:
        raise click.BadParameter(f"{text!r} is not a size such as 64GB")
    power = " kmgt".index(parts[2].lower() or " ")
    return int(number * (1024 if parts[3] else 1000) ** power)


def rate(text: str) -> float | Literal["auto"]:
    """Parse a learning rate: ``auto``, or a finite number above 0."""
    return "auto" if text == "auto" else positive(text)


def point(text: str) -> tuple[float, ...]:
    """Parse finite numbers separated by commas."""
    numbers = [_finite(part) for part in text.split(",")]
    finite = tuple(number for number in numbers if number is not None)
    if len(finite) < len(numbers):
        raise click.BadParameter(f"{text!r} is not a list of finite numbers with commas")
    return finite


def start(text: str) -> tuple[float, ...] | Literal["random"]:
    """Parse the weights at the start: ``random``, or finite numbers separated by commas."""
    return "random" if text == "random" else point(text)


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


store_option = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path(".benchmarks"),
    show_default=True,
    help="Folder of the results.",
)


loss_option = click.option(
    "--loss",
    default="squared_error",
    show_default=True,
    metavar="NAME|FILE.py:NAME",
    help="Loss to minimise: squared_error, log_loss, huber, poisson, or your own from a file.",
)


Format = Literal["table", "markdown", "csv", "json"]


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--format`` and ``--json``; both set the argument `output_format` of the command."""

    @click.option(
        "--format",
        "output_format",
        type=click.Choice(get_args(Format)),
        default="table",
        show_default=True,
        help="Format of the output.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, output_format: Format, **kwargs: Any) -> Any:
        return command(*args, output_format="json" if as_json else output_format, **kwargs)

    return wrapped


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--scheduler`` and ``--workers``, the options of the ``dask`` backends.

    The backends get the values through environment variables.
    """

    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Address of the Dask cluster for dask backends, such as tcp://host:8786.  "
        "[default: workers on this machine]",
    )
    @click.option(
        "--workers",
        type=count,
        help="Workers of a cluster on this machine.  [default: one per CPU, at most 4]",
    )
    @functools.wraps(command)
    def wrapped(*args: Any, scheduler: str | None, workers: int | None, **kwargs: Any) -> Any:
        if scheduler and workers:
            raise click.UsageError("--workers starts a cluster here; leave out --scheduler")
        asked = kwargs["backend"]
        names = (asked,) if isinstance(asked, str) else tuple(asked)
        if (scheduler or workers) and not any(n.startswith(("dask", "*")) for n in names):
            option = "--scheduler" if scheduler else "--workers"
            raise click.UsageError(f"{option} is for dask backends, such as dask:numba")
        if scheduler:
            os.environ["DASK_SCHEDULER_ADDRESS"] = scheduler
        if workers:
            os.environ["DESCENTBENCH_WORKERS"] = str(workers)
        return command(*args, **kwargs)

    return wrapped
