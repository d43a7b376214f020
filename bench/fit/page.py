"""A fit as text: for people, and as Markdown, CSV and JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.show.console import Columns, console
from bench.show.formats import csv_text, markdown_text
from bench.show.text import data_text, number_text, weights_text

if TYPE_CHECKING:
    from backends.rows.source import Source
    from bench.fit.descend import Fit

HEADINGS = "epoch", "w", "loss"

REASONS = {
    "steps": "all steps taken",
    "loss": "the loss is low enough",
    "tolerance": "the gradient is small enough",
}
"""Texts for the reasons why a descent stopped."""


def fields(result: Fit, source: Source) -> dict[str, Any]:
    """Return the fields of ``fit --json``; the field ``loss`` is the value at w."""
    return asdict(result) | {"loss_name": source.loss.name}


def as_csv(result: Fit) -> str:
    """Return the epochs as CSV with a column for each weight, w1, w2, …, at full precision."""
    rows = []
    for epoch in result.epochs:
        weights = {f"w{i + 1}": w for i, w in enumerate(epoch.w)}
        rows.append({"epoch": epoch.epoch, **weights, "loss": epoch.loss})
    return csv_text(rows, ["epoch", *(f"w{i + 1}" for i in range(len(result.w))), "loss"])


def as_markdown(result: Fit) -> str:
    """Return the epochs as a table in Markdown."""
    return markdown_text(HEADINGS, _rows(result), words=0)


def _rows(result: Fit) -> list[tuple[str, str, str]]:
    return [(str(e.epoch), weights_text(e.w), number_text(e.loss)) for e in result.epochs]


def print_fit(result: Fit, source: Source) -> None:
    """Print the fit for people."""
    table = Columns(*HEADINGS, words=(), sentences=(1,), gap=2, box=None)
    for row in _rows(result):
        table.add_row(*row)
    out = console(soft_wrap=True)
    out.print(f"data: {source.source}; n = {source.rows}, d = {source.features}")
    kind = data_text(source.dtype, source.loss.name)
    out.print(f"{result.backend}, {kind}, learning rate {result.learning_rate:.6g}\n")
    if result.epochs:
        out.print(table)
    out.print(f"\nw = {weights_text(result.w)} and loss = {number_text(result.loss)}")
    out.print(f"stopped at epoch {result.steps}: {REASONS[result.stopped]}")
    for prediction in result.predictions:
        x = ", ".join(f"{value:g}" for value in prediction.x)
        out.print(f"prediction at x = {x}: {number_text(prediction.y)}")
