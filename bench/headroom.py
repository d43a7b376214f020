"""How far each library's best is from what the machine can do.

A full-batch step must read the data once, so a read of the same bytes bounds
it; a kernel in C shows what plain hand-written code makes of that bound.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backends.catalogue import Name, libraries
from bench.bandwidth import SMALLEST_BYTES
from bench.record import Record
from bench.row import NATIVE, READ, Row
from bench.summary import Result, read_fraction
from bench.table import count, percent, seconds

GRID = (
    *((100, 1), (10_000, 1), (1_000_000, 1)),
    *((70_000_000, 1), (40_000_000, 2), (30_000_000, 3), (8_000_000, 8), (2_000_000, 32)),
    *((500_000, 128), (200_000, 500), (40_000, 2000)),
)
"""Rows and features: from latency to memory, then all of 256 MB and more in float32."""

C = "C, OpenMP"

MOST_COLUMNS = 6
"""Sizes in a table of 80 columns, with room for the units."""


@dataclass(frozen=True)
class Limit:
    """The yardsticks at a size; None = not measured.

    Attributes
    ----------
    read_s : float or None
        Reading the bytes of a step once.
    native_s : float or None
        A step of the C kernel.
    native_fraction : float or None
        Its share of the read's pace.
    failure : str
        Why the C kernel failed, if it did.
    """

    rows: int
    features: int
    dtype: str
    read_s: float | None
    native_s: float | None
    native_fraction: float | None
    failure: str

    @property
    def bounds(self) -> bool:
        """Whether reading bounds a step: a few bytes wait for latency."""
        return Row(READ, *self.size).bytes_per_step >= SMALLEST_BYTES

    @property
    def size(self) -> tuple[int, int, str]:
        """As `Row.size`."""
        return self.rows, self.features, self.dtype

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``run --limit --json``."""
        return asdict(self) | {"failure": self.failure or None}


def limits(record: Record) -> list[Limit]:
    """Return the yardsticks of every size that was asked for, narrow ones first."""
    sizes = {Row.parse(text).size for text in record.request["rows"]}
    return [_limit(record, size) for size in sorted(sizes, key=lambda s: (s[1], s[0], s[2]))]


def _limit(record: Record, size: tuple[int, int, str]) -> Limit:
    read, native = Row(READ, *size), Row(NATIVE, *size)
    found = [m for task in record.tasks.values() for m in task.measurements]
    reads = [
        s * read.bytes_per_step / m.info["bytes"]
        for m in found
        if m.row == str(read)
        for s in m.seconds_per_step
    ]
    steps = [s for m in found if m.row == str(native) for s in m.seconds_per_step]
    failures = [task.failures.get(str(native), "") for task in record.tasks.values()]
    failure = next(filter(None, failures), "")
    right = bool(steps) and not failure
    return Limit(
        *size,
        read_s=median(reads) if reads else None,
        native_s=median(steps) if right else None,
        native_fraction=read_fraction(record, native) if right else None,
        failure=failure,
    )


def headroom_table(results: list[Result], limits: list[Limit]) -> RenderableType:
    """Return a line a library, its best technique at every size, above the yardsticks'.

    Parameters
    ----------
    results : list of Result
        Of each size the fastest first, as `summarise` gives them.
    limits : list of Limit
    """
    parts: list[RenderableType] = []
    for first in range(0, len(limits), MOST_COLUMNS):
        parts += _tables(results, limits[first : first + MOST_COLUMNS])
    failed = {str(r.row): r.reason for r in results if not r.verified}
    failed |= {
        str(Row(NATIVE, *limit.size)): limit.failure for limit in limits if limit.failure
    }
    notes = [Text(f"failed: {row}: {reason}", "red") for row, reason in failed.items()]
    if all(Name.parse(r.backend).device == "cpu" for r in results):
        notes.append(Text("GPU: not measured", "dim"))
    return Group(*parts, *notes)


def _tables(results: list[Result], limits: list[Limit]) -> list[RenderableType]:
    times, shares = _table(limits), _table(limits)
    for label, best in _best(results).items():
        mine = [best.get(limit.size) for limit in limits]
        times.add_row(label, *map(_time, mine))
        shares.add_row(label, *(percent(r.bandwidth_fraction if r else None) for r in mine))
    times.add_section()
    times.add_row(C, *("failed" if x.failure else seconds(x.native_s) for x in limits))
    times.add_row("reading once", *(seconds(x.read_s if x.bounds else None) for x in limits))
    shares.add_section()
    shares.add_row(C, *(percent(x.native_fraction) for x in limits))
    return [
        Text(f"The best of each library, {limits[0].dtype}: time a step", "bold"),
        *(times, Text()),
        Text("Share of the reading's pace (what a step reads ÷ what it could)", "bold"),
        *(shares, Text()),
    ]


def _best(results: list[Result]) -> dict[str, dict[tuple[int, int, str], Result]]:
    """Return the fastest result by library and device, in the catalogue's order, and size."""
    best: dict[Name, dict[tuple[int, int, str], Result]] = {}
    for result in results:
        name = Name.parse(result.backend)
        whose = Name(name.library, device=name.device)
        best.setdefault(whose, {}).setdefault(result.row.size, result)
    order = list(libraries())
    return {
        str(n): best[n] for n in sorted(best, key=lambda n: (order.index(n.library), n.device))
    }


def _time(best: Result | None) -> str | Text:
    """Write the time and, below it, the technique that needs it."""
    if best is None:
        return "–"
    if best.step_s is None:
        return "failed"
    technique = Name.parse(best.backend).technique or "plain"
    return Text.assemble(seconds(best.step_s.median), "\n", (technique, "dim"))


def _table(limits: list[Limit]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("rows\nfeatures", width=12, overflow="fold")
    for limit in limits:
        heading = f"{count(limit.rows)}\n× {limit.features}"
        table.add_column(heading, justify="right", width=8, overflow="fold")
    return table
