"""Prepare the inputs of a fit: the backend, the rows, the weights at the start, the memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import click

from backends.catalogue import check_loss, note, open_backend
from backends.errors import DescentbenchError
from backends.losses import SQUARED_ERROR
from backends.names import Name
from backends.rows.made import Generated
from backends.rows.streamed import IN_MEMORY, Streamed
from bench.host.limits import available_bytes
from bench.host.memory import rss_bytes
from bench.show.console import console
from bench.show.text import byte_count, count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.interface import Backend
    from backends.losses import Loss
    from backends.rows.source import Source
    from bench.fit.descend import Epoch
    from bench.fit.scaled import Prepared


class InputError(DescentbenchError):
    """The options of a fit contradict each other."""


def on_device(backend: str, device: str | None) -> str:
    """Return the backend's name, followed by ``@device`` if a device is given."""
    if device is None:
        return backend
    if "@" in backend:
        raise InputError(f"--backend {backend} names a device already; leave out --device")
    return f"{backend}@{device}"


def open_for(loss: Loss, backend: str) -> Backend:
    """Open the backend; raise an error with the reason if it does not work for the loss.

    If the backend is slower on this machine than it could be, print the reason on stderr.
    """
    check_loss(Name.parse(backend), loss)
    opened = open_backend(backend)
    if said := note(Name.parse(opened.name), loss):
        click.echo(f"descentbench: {opened.name} {said}", err=True)
    return opened


def distributed(backend: Backend) -> bool:
    """Return whether the backend sends its rows to other processes."""
    return Name.parse(backend.name).distributed


def open_rows(
    rows: int | None,
    features: int | None,
    file: Callable[[str], Source] | None,
    dtype: str,
    seed: int,
    loss: Loss,
) -> Source:
    """Return the rows of a fit: generated rows, or the rows of a data file.

    `file` is a function that opens the data file with a given dtype. None stands for generated
    rows.
    """
    if file is None:
        return Generated(rows or 100, features or 1, dtype, seed, loss=loss)
    if rows or features:
        raise InputError("--rows and --features are for generated rows; leave out --data")
    return file(dtype).with_loss(loss)


def room_bytes(memory: int | None) -> int:
    """Return the number of bytes of memory that the rows are allowed to use.

    The result is `memory` minus the memory that this process uses already. If `memory` is None,
    the result is half of the machine's free memory.
    """
    return available_bytes() // 2 if memory is None else memory - rss_bytes()


def streaming_text(streamed: Streamed, steps: int) -> str:
    """Return a message: how long a descent takes if every step reads all rows again."""
    a_pass = streamed.seconds_a_pass()
    squared = streamed.source.loss == SQUARED_ERROR
    passes = steps + 1  # each evaluation but the last shares a pass with the next step
    needed = byte_count(IN_MEMORY * streamed.source.bytes_per_step, 2)
    return (
        f"A descent with all rows in memory may need {needed}, more than the memory limit "
        "leaves for the rows, so every step reads the rows again. A pass takes about "
        f"{duration(a_pass)}, {count(passes)} passes take about {duration(passes * a_pass)}."
        + (" A gram backend, such as numpy:gram, needs only one pass." if squared else "")
    )


def first_w(
    w0: tuple[float, ...] | Literal["random"] | None, ready: Prepared, seed: int
) -> tuple[float, ...] | None:
    """Return the weights at the start of the descent, for the scaled columns.

    Parameters
    ----------
    w0 : tuple of float, "random" or None
        A weight for each column before scaling; for a model with an intercept, one more number
        can give the intercept. ``"random"`` means normally distributed weights for the scaled
        columns. None means zeros; the result is then None, too.
    ready : Prepared
    seed : int
        Seed of the random weights.
    """
    if w0 is None:
        return None
    if w0 == "random":
        import numpy as np

        return tuple(np.random.default_rng(seed).standard_normal(ready.source.features))
    d = ready.raw.features
    if not (ready.scaling.intercept and len(w0) == d + 1):
        check_length("--w0", w0, ready.raw)
    start: list[float] = ready.scaling.to_scaled(w0[:d], *w0[d:]).tolist()
    return tuple(start)


def check_length(option: str, numbers: tuple[float, ...], source: Source) -> None:
    """Raise InputError if the option has more or fewer numbers than the data have features."""
    if len(numbers) != source.features:
        raise InputError(
            f"{option} must have as many numbers as the data have features, "
            f"{source.features}, not {len(numbers)}"
        )


@contextmanager
def progress(steps: int) -> Iterator[Callable[[Epoch], None]]:
    """Show a progress bar if stderr is a terminal; yield a function that updates the bar."""
    from rich.progress import Progress

    err = console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("Descending", total=steps)
        yield lambda epoch: bar.update(task, completed=epoch.epoch)
