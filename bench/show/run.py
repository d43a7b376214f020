"""Format a run as tables for the console, Markdown, CSV or JSON."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.host.noise import noticed
from bench.results.case import Case
from bench.results.record import Record
from bench.results.summary import Result, summarise
from bench.show.console import console
from bench.show.formats import results_csv
from bench.show.roofline import Limit, limits, roofline_table
from bench.show.table import results_markdown, results_table


@dataclass(frozen=True)
class RunPage:
    """The output of a run, in all formats.

    Attributes
    ----------
    path : Path
        The file in which the record is stored.
    record : Record
    roofline : bool
        Whether the run had the option ``--limit``.
    """

    path: Path
    record: Record
    roofline: bool = False

    @cached_property
    def results(self) -> list[Result]:
        """A result for every case, ordered by size. At each size, the fastest is first."""
        return summarise(self.record)

    @cached_property
    def bounds(self) -> list[Limit]:
        """For every size, the time of a read and of a step in C, measured by ``run --limit``.

        The list is empty for a run without ``--limit``.
        """
        return limits(self.record) if self.roofline else []

    @property
    def good(self) -> bool:
        """Whether every backend computed the right weights, and ``--limit`` had no failure."""
        right = all(result.verified for result in self.results)
        return right and not any(bound.failure for bound in self.bounds)

    @property
    def noise(self) -> list[str]:
        """A line for each kind of disturbance of the run, such as other busy processes."""
        return noticed(task.noise for task in self.record.tasks.values())

    def document(self) -> dict[str, Any]:
        """Return the JSON document that ``run --json`` prints."""
        found: dict[str, Any] = {
            "schema": self.record.schema,
            "machine": self.record.machine,
            "results": [result.as_dict() for result in self.results],
            "noise": self.noise,
            "record": str(self.path.absolute()),
        }
        if self.roofline:
            found["limit"] = [bound.as_dict() for bound in self.bounds]
        return found

    def as_csv(self) -> str:
        """Return CSV with a line for every result. Numbers are not rounded."""
        return results_csv(self.results)

    def as_markdown(self) -> str:
        """Return a Markdown table for every size."""
        return results_markdown(self.results)

    def show(self) -> None:
        """Print the tables, and a line for each kind of disturbance of the run."""
        out = console()
        if self.roofline:
            out.print(roofline_table(self.results, self.bounds))
        else:
            out.print(results_table(self.results))
        self.show_noise()

    def show_noise(self) -> None:
        """Print a line for each kind of disturbance, such as other busy processes."""
        out = console()
        for line in self.noise:
            out.print(f"noise: {line}", style="yellow")


def show_results(record: Record, cases: Collection[Case]) -> None:
    """Print the tables of some cases, and flush stdout so that they appear at once."""
    console().print(results_table([r for r in summarise(record) if r.case in cases]))
    sys.stdout.flush()
