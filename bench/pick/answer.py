"""The recommendation in words and as a table of 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backends.names import Name
from bench.pick.model import Range
from bench.pick.recommend import Answer, Candidate
from bench.pick.throughput import MemoryPace
from bench.show.formats import markdown_text
from bench.show.text import (
    byte_count,
    count,
    duration,
    percent,
    plural,
    seconds,
    times,
)

HEADINGS = "backend", "memory", "set-up", "a step", "total (90 %)", "pays\nfrom", "of\nbw"

MARGIN = 0.95
"""A step that is not at least 5 % shorter is not said to pay off."""


def sentence(answer: Answer) -> str:
    """Say what to use, what it takes and what else there is; for anybody."""
    request = answer.request
    if answer.pick is None:
        return "Nothing can be recommended: no backend was measured to the end."
    line = answer.of(answer.pick)
    assert line.total_s is not None  # noqa: S101 it was picked by its total
    iterations = plural(request.iterations, "iteration")
    takes = f"{iterations} in {span(line.total_s)}"
    if not answer.fits:
        most = request.memory_bytes["cpu"]
        machines = -(-(line.needs_bytes or request.data_bytes) // most)
        return (
            f"No backend holds {size(answer)} in this machine's memory: "
            f"{byte_count(request.data_bytes, 2)} of data, {byte_count(most, 2)} to use. "
            f"On {count(machines)} machines like it, each with its share of the rows, or on "
            f"one with the memory, use {answer.pick}; that one would take {takes}."
        )
    parts = [f"Use {answer.pick} on {where(answer.pick)}: {takes}"]
    rivals = [
        c
        for c in answer.candidates
        if c.total_s
        and c.fits is not False
        and c.backend not in (answer.pick, *answer.tied)
        and not (request.loop_only and c.least_squares_only)
    ]
    if rivals and (slower := _ratio(rivals[0], line)) >= 1:
        parts.append(f"{rivals[0].backend} would take {times(slower)} as long")
    if later := _pays_later(answer, line, rivals):
        parts.append(later)
    return "; ".join(parts) + "."


def size(answer: Answer) -> str:
    """Name the request's data."""
    request = answer.request
    columns = "" if request.features == 1 else f" × {request.features} features"
    return f"{count(request.rows)} rows{columns} ({request.dtype})"


def where(backend: str) -> str:
    """Name the device as one would say it."""
    device = Name.parse(backend).device
    return "this CPU" if device == "cpu" else device


def span(total: Range) -> str:
    """Write a total and its interval: 12.9 s (12.1–13.8 s)."""
    low, high = duration(total.low), duration(total.high)
    if low.split()[1] == high.split()[1]:
        low = low.split()[0]
    return f"{duration(total.median)} ({low}–{high})"


def _ratio(other: Candidate, line: Candidate) -> float:
    assert other.total_s is not None  # noqa: S101 both were chosen by it
    assert line.total_s is not None  # noqa: S101
    return other.total_s.median / line.total_s.median


def _pays_later(answer: Answer, line: Candidate, rivals: Sequence[Candidate]) -> str:
    """Say which backend is faster a step, and from how many iterations on in all."""
    found: list[tuple[float, str]] = []
    for other in rivals:
        if other.step_s is None or line.step_s is None:
            continue
        gain = line.step_s.median - other.step_s.median
        if other.step_s.median < MARGIN * line.step_s.median:
            more = (other.setup_s or 0.0) - (line.setup_s or 0.0)
            found.append((more / gain, other.backend))
    after = [f for f in found if f[0] > answer.request.iterations]
    if not after:
        return ""
    iterations, backend = min(after)
    return f"{backend} pays off only after {rounded(iterations)} iterations"


def rounded(value: float) -> str:
    """Write a number that is only roughly known: 40,000."""
    return (
        f"{float(f'{value:.1e}'):,.0f}" if value < 1e7 else f"{value:.0e}".replace("e+0", "e")
    )


def notes(answer: Answer, age: str, dropped: Mapping[str, str], ended: str) -> list[str]:
    """Return what else has to be said, each in a line."""
    found: list[str] = []
    if answer.pick is None:
        return found
    if answer.tied:
        found.append(
            f"{answer.pick} can't be told apart from {', '.join(answer.tied)}; of such, the "
            "plainest is taken that costs less than 5 % more."
        )
    name = Name.parse(answer.pick)
    if name.least_squares_only and answer.loop_pick:
        other = answer.of(answer.loop_pick)
        found.append(
            f"{answer.pick} works since the loss is a sum of squares. For another loss use "
            f"{other.backend}: {span(other.total_s) if other.total_s else '–'} (--loop-only)."
        )
    named = [answer.pick]
    if name.least_squares_only and answer.loop_pick:
        named.append(answer.loop_pick)
    found += [
        f"{line.backend} was measured up to {count(line.largest_rows)} rows; what lies "
        "beyond is extrapolated, and its interval wider for it."
        for line in map(answer.of, named)
        if line.largest_rows < answer.request.rows
    ]
    found += [ended] if ended else []
    found += [age] if age else []
    if dropped:
        found.append(f"Dropped early, as they cannot win here: {', '.join(dropped)}.")
    return found


def pace_note(pace: MemoryPace) -> list[str]:
    """Say at which pace of the memory the totals hold, where it changes."""
    if not pace.changes:
        return []
    slow, fast, usual = (f"{of / 1e9:.2g}" for of in (pace.slow, pace.fast, pace.usual))
    found = f"This machine's memory was read at {slow} to {fast} GB/s from one time to another"
    return [f"{found}; the totals are for {usual} GB/s, their intervals for all of that."]


def answer_page(answer: Answer, remarks: Sequence[str]) -> RenderableType:
    """Return the sentence, the remarks, the table and the crossovers."""
    parts: list[RenderableType] = [Text(sentence(answer), "bold"), Text()]
    parts += [*map(Text, remarks), *([Text()] if remarks else []), _table(answer)]
    if any(line.fits is False for line in answer.candidates):
        parts.append(
            Text("✗: more memory than there is; the time is what it would take", "dim")
        )
    silent = [c for c in answer.candidates if c.total_s is None]
    parts += [Text(f"{c.backend}: {c.reason}", "dim") for c in silent]
    if answer.crossovers:
        k = plural(answer.request.iterations, "iteration")
        parts += [Text(), Text(f"Where the fastest changes, at {k}:")]
        parts += [
            Text(
                f"  from {rounded(x.rows)} rows ({rounded(x.low)}–{rounded(x.high)}) "
                f"{x.after}, below it {x.before}"
            )
            for x in answer.crossovers
        ]
    return Group(*parts)


def _table(answer: Answer) -> Table:
    table = Table(
        title=f"{size(answer)}, {plural(answer.request.iterations, 'iteration')}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    table.add_column(HEADINGS[0], overflow="fold", min_width=16)
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in _lines(answer):
        table.add_row(*line)
    return table


def answer_markdown(answer: Answer, remarks: Sequence[str]) -> str:
    """Return the sentence, the table and the remarks in Markdown."""
    headings = [heading.replace("\n", " ") for heading in HEADINGS]
    parts = [f"**{sentence(answer)}**\n", markdown_text(headings, _lines(answer))]
    return "\n".join([*parts, *(f"{remark}\n" for remark in remarks)])


def _lines(answer: Answer) -> list[list[str]]:
    """Return the cells of every backend that has a total."""
    return [
        [f"{line.backend} ◂" if line.backend == answer.pick else line.backend, *_cells(line)]
        for line in answer.candidates
        if line.total_s is not None
    ]


def _cells(line: Candidate) -> list[str]:
    assert line.total_s is not None  # noqa: S101 the others have no line
    assert line.step_s is not None  # noqa: S101
    even = line.break_even_iterations
    pays = "never" if even is None else "1" if even <= 1 else rounded(even)
    return [
        byte_count(line.needs_bytes, 2) + (" ✗" if line.fits is False else ""),
        seconds(line.setup_s, 2),
        seconds(line.step_s.median),
        span(line.total_s),
        pays,
        percent(line.bandwidth_fraction),
    ]
