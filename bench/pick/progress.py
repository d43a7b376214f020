"""Show a pick's progress on a terminal: the time left, the task, and the answer so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn

from bench.pick.pipeline import Report
from bench.show.console import console


@contextmanager
def shown(budget: float) -> Iterator[Report]:
    """Show a progress bar in a ``with`` block; yield the function that updates the bar.

    Nothing is shown if stderr is not a terminal. `budget` is the time for measuring in seconds.
    """
    err = console(stderr=True)
    layout = (
        *(TextColumn("measuring"), BarColumn(bar_width=16)),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[answer]}", style="bold"),
        TextColumn("{task.description}", style="dim"),
    )
    with Progress(
        *layout, console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        bar = progress.add_task("", total=1.0, left="", answer="")

        def report(what: str, share: float, answer: str) -> None:
            left = f"{max(0.0, (1 - share) * budget):.0f} s left"
            more = f"{answer} (Ctrl-C accepts it)" if answer else ""
            progress.update(bar, completed=share, description=what, left=left, answer=more)

        yield report
