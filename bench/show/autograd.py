"""Write tables of step times with autograd and with gradients derived by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.results.case import Case
from bench.results.record import Record
from bench.results.summary import Result, summarise
from bench.show.formats import markdown_text
from bench.show.text import count, figures, seconds

NAME = "autograd-cost"
"""Name that ``nox -s autograd-cost`` gives to its records."""

GRADIENTS = {
    "torch": "autograd",
    "torch:compile": "autograd, compiled",
    "torch:analytic": "by hand",
    "jax": "autograd, compiled",
    "jax:loop": "autograd, compiled with the loop",
    "jax:blocked": "autograd, compiled, in blocks",
    "numpy": "by hand",
    "numpy:blocked": "by hand, in blocks",
    "numba": "by hand, compiled",
    "numba:parallel": "by hand, compiled",
}
"""The keys are backends, and the values say how they compute the gradient. Tables list the
backends in this order."""


@dataclass(frozen=True)
class Size:
    """The results at one size; `steps` has a result for each backend and loss."""

    rows: int
    features: int
    dtype: str
    steps: Mapping[str, Mapping[str, Result]]

    def ratio(self, backend: str, loss: str) -> float | None:
        """Return the time of a step ÷ the time of the library's fastest step with this loss.

        The result is None if the backend has no time for this loss.
        """
        library = backend.partition(":")[0]
        mine = [
            of[loss].step_s
            for name, of in self.steps.items()
            if name.partition(":")[0] == library and loss in of
        ]
        known = [step.median for step in mine if step is not None]
        step = self.steps[backend][loss].step_s if loss in self.steps[backend] else None
        return step.median / min(known) if step is not None else None


def is_autograd_cost(record: Record) -> bool:
    """Return whether ``nox -s autograd-cost`` wrote the record."""
    return record.name == NAME


def losses_of(record: Record) -> list[str]:
    """Return the losses of a record, in the order of the user's request."""
    return list(dict.fromkeys(Case.parse(case).loss for case in record.request["rows"]))


def sizes_of(record: Record) -> list[Size]:
    """Return the results of a record, grouped by size.

    At each size, the backends are in the order in which tables list them.
    """
    found: dict[tuple[int, int, str], dict[str, dict[str, Result]]] = {}
    for result in summarise(record):
        size = result.rows, result.features, result.dtype
        found.setdefault(size, {}).setdefault(result.backend, {})[result.loss] = result
    return [
        Size(*size, {name: by_backend[name] for name in GRADIENTS if name in by_backend})
        for size, by_backend in found.items()
    ]


def autograd_markdown(record: Record) -> str:
    """Return Markdown tables of step times by backend and loss, one table for each size."""
    losses = losses_of(record)
    parts = []
    for size in sizes_of(record):
        title = f"**{count(size.rows)} × {size.features}, {size.dtype}**"
        lines = [
            [f"`{name}`", GRADIENTS[name], *(_cell(size, name, loss) for loss in losses)]
            for name in size.steps
        ]
        headings = ["backend", "gradient", *(f"`{loss}`" for loss in losses)]
        parts.append(f"{title}\n\n{markdown_text(headings, lines, words=2)}")
    return "\n".join(parts)


def _cell(size: Size, backend: str, loss: str) -> str:
    """Return the step time, and its ratio to the library's fastest time: ``1.2 ms (3×)``."""
    result = size.steps[backend].get(loss)
    if result is None or result.step_s is None:
        return "–" if result is None or not result.reason else "failed"
    ratio = size.ratio(backend, loss)
    more = f" ({figures(ratio, 2)}×)" if ratio is not None else ""
    return f"{'~' if result.unstable else ''}{seconds(result.step_s.median, 3)}{more}"


def failures(record: Record) -> Sequence[str]:
    """Return a line of text for each case that failed or gave a wrong w.

    The line has the name of the case and the reason.
    """
    return [f"{r.case}: {r.reason}" for r in summarise(record) if not r.verified]
