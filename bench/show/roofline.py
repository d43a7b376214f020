"""Show how close each library's best technique comes to the limit of the machine.

A step over all rows must read the data, so it takes at least as long as reading the same bytes
without arithmetic. This limit is called the roofline. A descent written in C shows how close to
the limit a step can be.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median, mode
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from backends.names import Name, libraries
from bench.results.case import NATIVE, READ, SMALLEST_BYTES, SQUARED, Case
from bench.results.record import Record
from bench.results.summary import Result, read_fraction
from bench.show.console import Columns
from bench.show.text import count, data_text, percent, seconds

GRID = (
    *((100, 1), (10_000, 1), (1_000_000, 1)),
    *((70_000_000, 1), (40_000_000, 2), (30_000_000, 3), (8_000_000, 8), (2_000_000, 32)),
    *((500_000, 128), (200_000, 500), (40_000, 2000)),
)
"""(rows, features) of the sizes that ``run --limit`` measures on a CPU. The last eight sizes
are 256 MB or more in float32, more than most caches hold."""

DEVICE_GRID = (
    *((100, 1), (10_000, 1), (1_000_000, 1)),
    *((250_000_000, 1), (130_000_000, 2), (90_000_000, 3), (32_000_000, 8), (8_000_000, 32)),
    *((2_000_000, 128), (500_000, 500), (130_000, 2000)),
)
"""(rows, features) of the sizes that ``run --limit`` measures on a GPU. The last eight sizes
are 1 GB or more in float32."""

Data = tuple[int, int, str, str]
"""Type of the tuple (rows, features, dtype, loss). The printed tables have a column for each of
these tuples."""

C = "C, OpenMP"
"""Name in the tables for the descent written in C."""

MOST_COLUMNS = 6
"""Largest number of sizes in one table: six sizes and their units fit into 80 characters."""

LABEL_WIDTH, SIZE_WIDTH = 14, 10
"""Width of the first column, and width of every further column. Both are in characters."""


@dataclass(frozen=True)
class Limit:
    """The time to read the data and the time of a step in C, at one size.

    These times show how fast a step can be. None means "not measured".

    Attributes
    ----------
    device : str
        Device whose memory is read.
    read_s : float or None
        Time in seconds to read the bytes of a step once, without arithmetic.
    native_s : float or None
        Time in seconds of a step of the descent in C.
    native_fraction : float or None
        Throughput of a step in C ÷ throughput of the read.
    failure : str
        Why the descent in C failed; "" if it did not fail.
    read_by : str
        Name of the fastest method of reading, such as "compiled, 2 places": in compiled code,
        each thread reads alternately at two places of its data. Empty in older records.
    """

    rows: int
    features: int
    dtype: str
    device: str
    read_s: float | None
    native_s: float | None
    native_fraction: float | None
    failure: str
    loss: str = SQUARED
    read_by: str = ""

    @property
    def bounds(self) -> bool:
        """Whether a step reads so many bytes that the memory limits its speed."""
        return Case(READ, *self.data).bytes_per_step >= SMALLEST_BYTES

    @property
    def size(self) -> tuple[int, int, str]:
        """The tuple (rows, features, dtype)."""
        return self.rows, self.features, self.dtype

    @property
    def data(self) -> Data:
        """The tuple (rows, features, dtype, loss)."""
        return *self.size, self.loss

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as a dict for ``run --limit --json``; empty texts become None."""
        return asdict(self) | {"failure": self.failure or None, "read_by": self.read_by or None}


def limits(record: Record) -> list[Limit]:
    """Return the time to read the data and the time of a step in C, for every size of a record.

    The sizes are ordered by device (CPU before GPU) and number of features.
    """
    cases = [Case.parse(text) for text in record.request["rows"]]
    asked = sorted(
        {(case.device, case.data) for case in cases},
        key=lambda one: (one[0] != "cpu", one[0], one[1][1], one[1]),
    )
    return [
        _host(record, data) if device == "cpu" else _device(record, data, device)
        for device, data in asked
    ]


def _device(record: Record, data: Data, device: str) -> Limit:
    """Return a device's read time at one size, from reads that were timed between the steps."""
    found = [m for task in record.tasks.values() for m in task.measurements]
    rates = [
        rate
        for m in found
        if (case := Case.parse(m.row)).data == data and case.device == device
        for rate in m.info.get("read_bytes_per_s", ())
    ]
    read_s = Case(READ, *data).bytes_per_step / median(rates) if rates else None
    rows, features, dtype, loss = data
    return Limit(rows, features, dtype, device, read_s, None, None, "", loss)


def _host(record: Record, data: Data) -> Limit:
    read, native = Case(READ, *data), Case(NATIVE, *data)
    found = [m for task in record.tasks.values() for m in task.measurements]
    reads = [
        s * read.bytes_per_step / m.info["bytes"]
        for m in found
        if m.row == str(read)
        for s in m.seconds_per_step
    ]
    ways = [m.info["read_by"] for m in found if m.row == str(read) and "read_by" in m.info]
    steps = [s for m in found if m.row == str(native) for s in m.seconds_per_step]
    failures = [task.failures.get(str(native), "") for task in record.tasks.values()]
    failure = next(filter(None, failures), "")
    right = bool(steps) and not failure
    return Limit(
        *data[:3],
        device="cpu",
        read_s=median(reads) if reads else None,
        native_s=median(steps) if right else None,
        native_fraction=read_fraction(record, native) if right else None,
        failure=failure,
        loss=data[3],
        read_by=mode(ways) if ways else "",
    )


def roofline_table(results: list[Result], limits: list[Limit]) -> RenderableType:
    """Return two tables for each device: step times, and shares of the read bandwidth.

    A table has a line for each library and a column for each size. A cell shows the library's
    fastest technique at that size. Further lines show the time to read the data once and, on
    the CPU, a descent in C.

    Parameters
    ----------
    results : list of Result
        Results as `summarise` orders them: the fastest of each size first.
    limits : list of Limit
    """
    parts: list[RenderableType] = []
    for device in dict.fromkeys(limit.device for limit in limits):
        there = [limit for limit in limits if limit.device == device]
        theirs = [result for result in results if result.case.device == device]
        parts.append(_Device(theirs, there))
    failed = {str(r.case): r.reason for r in results if not r.verified}
    failed |= {
        str(Case(NATIVE, *limit.data)): limit.failure for limit in limits if limit.failure
    }
    notes = [Text(f"failed: {case}: {reason}", "red") for case, reason in failed.items()]
    if ways := dict.fromkeys(
        limit.read_by for limit in limits if limit.bounds and limit.read_by
    ):
        notes.append(Text(f"plain read: {'; '.join(ways)}", "dim"))
    if all(limit.device == "cpu" for limit in limits):
        notes.append(Text("GPU: not measured", "dim"))
    return Group(*parts, *notes)


@dataclass(frozen=True)
class _Device:
    """The tables of one device, each with as many columns as fit into the terminal."""

    results: list[Result]
    limits: list[Limit]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = (options.max_width - LABEL_WIDTH) // SIZE_WIDTH
        most = max(1, min(MOST_COLUMNS, room))
        for first in range(0, len(self.limits), most):
            yield from _tables(self.results, self.limits[first : first + most])


def _tables(results: list[Result], limits: list[Limit]) -> list[RenderableType]:
    times, shares = _table(limits), _table(limits)
    for label, best in best_by_library(results).items():
        mine = [best.get(limit.data) for limit in limits]
        times.add_row(label, *map(_time, mine))
        shares.add_row(label, *(percent(r.bandwidth_fraction if r else None) for r in mine))
    times.add_section()
    device = limits[0].device
    if device == "cpu" and limits[0].loss == SQUARED:  # the only loss of the C kernel
        times.add_row(C, *("failed" if x.failure else seconds(x.native_s) for x in limits))
        shares.add_section()
        shares.add_row(C, *(percent(x.native_fraction) for x in limits))
    times.add_row("reading once", *(seconds(x.read_s if x.bounds else None) for x in limits))
    where = "" if device == "cpu" else f" on {device}"
    called = data_text(limits[0].dtype, limits[0].loss)
    return [
        Text(f"The best of each library{where}, {called}: time a step", "bold"),
        *(times, Text()),
        Text("Share of the read bandwidth (bytes/s of a step ÷ of a plain read)", "bold"),
        *(shares, Text()),
    ]


def best_by_library(results: list[Result]) -> dict[str, dict[Data, Result]]:
    """Return the fastest result of each library on each device, at each size.

    The result is a dict of dicts. The outer keys are names such as ``torch@cuda:0``, in the
    order of the catalogue. The inner keys are (rows, features, dtype, loss).
    """
    best: dict[Name, dict[Data, Result]] = {}
    for result in results:
        name = Name.parse(result.backend)
        whose = Name(name.library, device=name.device)
        best.setdefault(whose, {}).setdefault(result.case.data, result)
    order = list(libraries())
    return {
        str(n): best[n] for n in sorted(best, key=lambda n: (order.index(n.library), n.device))
    }


def _time(best: Result | None) -> str | Text:
    """Return a cell: the time of a step, and the technique below it."""
    if best is None:
        return "–"
    if best.step_s is None:
        return "failed"
    technique = Name.parse(best.backend).technique or "plain"
    return Text.assemble(seconds(best.step_s.median), "\n", (technique, "dim"))


def _table(limits: list[Limit]) -> Columns:
    sizes = [f"{count(limit.rows)}\n× {limit.features}" for limit in limits]
    return Columns("rows\nfeatures", *sizes, gap=0)
