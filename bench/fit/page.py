"""Write a fit as text for people, or as Markdown, CSV or JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench.fit.advice import excess_text, missing_text
from bench.show.console import Columns, console
from bench.show.formats import csv_text, markdown_text
from bench.show.text import data_text, number_text, weights_text

if TYPE_CHECKING:
    from bench.fit.descend import Fit
    from bench.fit.outcome import Outcome
    from bench.fit.scaled import Prepared

REASONS = {
    "steps": "all steps taken",
    "loss": "the loss is low enough",
    "tolerance": "the gradient is small enough",
}
"""Text for each reason why a descent stops."""


def fields(outcome: Outcome, ready: Prepared) -> dict[str, Any]:
    """Return the fields of ``fit --json``; the field ``loss`` is the value of the loss at w."""
    scaling = ready.scaling if ready.scaling.standardized else None
    excess = outcome.excess
    return asdict(outcome.fit) | {
        "loss_name": ready.raw.loss.name,
        "scaling": None if scaling is None else asdict(scaling),
        "excess": None if excess is None else asdict(excess),
    }


def as_csv(result: Fit) -> str:
    """Return CSV with a line for each evaluation of the loss: step, w1, w2, … and loss."""
    rows = []
    for epoch in result.epochs:
        weights = {f"w{i + 1}": w for i, w in enumerate(epoch.w)}
        last = {"intercept": epoch.intercept, "loss": epoch.loss}
        rows.append({"epoch": epoch.epoch, **weights, **last})
    weights_names = [f"w{i + 1}" for i in range(len(result.w))]
    return csv_text(rows, ["epoch", *weights_names, *_headings(result)[2:]])


def as_markdown(result: Fit) -> str:
    """Return a Markdown table with a row for each evaluation of the loss: step, w and loss."""
    return markdown_text(_headings(result), _rows(result), words=0)


def _headings(result: Fit) -> tuple[str, ...]:
    middle = () if result.intercept is None else ("intercept",)
    return ("epoch", "w", *middle, "loss")


def _rows(result: Fit) -> list[tuple[str, ...]]:
    return [
        (
            str(e.epoch),
            weights_text(e.w),
            *([] if e.intercept is None else [number_text(e.intercept)]),
            number_text(e.loss),
        )
        for e in result.epochs
    ]


def print_fit(outcome: Outcome, ready: Prepared) -> None:
    """Print the fit as text for people."""
    result, raw = outcome.fit, ready.raw
    table = Columns(*_headings(result), words=(), sentences=(1,), gap=2, box=None)
    for row in _rows(result):
        table.add_row(*row)
    out = console(soft_wrap=True)
    out.print(f"data: {raw.source}; n = {raw.rows}, d = {raw.features}")
    kind = data_text(ready.source.dtype, raw.loss.name)
    scaled = ", standardized columns" if ready.scaling.standardized else ""
    out.print(f"{result.backend}, {kind}, learning rate {result.learning_rate:.6g}{scaled}\n")
    if result.epochs:
        out.print(table)
    found = f"w = {weights_text(result.w)}"
    if result.intercept is not None:
        found += f", intercept = {number_text(result.intercept)}"
    above = "" if outcome.excess is None else f", {excess_text(outcome.excess)}"
    out.print(f"\n{found} and loss = {number_text(result.loss)}{above}")
    more = missing_text(outcome.excess) if result.stopped == "steps" else ""
    out.print(f"stopped at epoch {result.steps}: {REASONS[result.stopped]}{more}")
    for prediction in result.predictions:
        x = ", ".join(f"{value:g}" for value in prediction.x)
        out.print(f"prediction at x = {x}: {number_text(prediction.y)}")
