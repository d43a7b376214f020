"""Lay out the answer of ``pick`` for a terminal of 80 characters, as Markdown or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bench.pick.observations import age
from bench.pick.pipeline import Picked
from bench.pick.recommend import Answer, Candidate
from bench.pick.sentences import (
    memory_note,
    notes,
    rounded,
    sentence,
    size,
    span,
    streaming_note,
)
from bench.pick.several_machines import in_words
from bench.show.console import Columns
from bench.show.formats import markdown_text
from bench.show.text import byte_count, duration, percent, plural, seconds

HEADINGS = "backend", "memory", "setup", "a step", "total (90 %)", "pays\nfrom", "of\nbw"

INTERRUPTED = "Interrupted: this answer uses only the measurements before the interruption."

LOWER_BOUND = "> is a lower bound: the backend was timed only in the caches, then excluded"

UNCHECKED = "Nothing was checked: every held-out size of the pick failed."


def remarks(picked: Picked, *, verify: bool) -> list[str]:
    """Return all remarks about the answer, the most important remark first."""
    answer, known = picked.answer, picked.known
    ended = INTERRUPTED if picked.interrupted else ""
    found = notes(answer, age(picked.earlier, picked.record), known.excluded, ended)
    if answer.pick:
        found += memory_note(known.memory)
        if not answer.fits and not picked.interrupted:
            found.append(streaming_note(answer, picked.a_pass_s))
    if picked.machines:
        found += in_words(picked.machines, known.request)
    if verify and answer.pick and picked.check is None and not picked.interrupted:
        found.append(UNCHECKED)
    return found


def as_json(picked: Picked, said: Sequence[str]) -> dict[str, Any]:
    """Return the fields of ``pick --json``."""
    answer, record = picked.answer, picked.record
    memory = {"memory_bytes": dict(picked.known.request.memory_bytes)}
    return {
        "schema": record.schema,
        "machine": dict(picked.known.setting.machine),
        "request": record.request["pick"] | memory,
        "pick": answer.pick,
        "loop_pick": answer.loop_pick,
        "tied": list(answer.tied),
        "fits": answer.fits,
        "why": " ".join([sentence(answer), *said]),
        "backends": [c.as_dict() for c in answer.candidates],
        "crossovers": [x.as_dict() for x in answer.crossovers],
        "machines": picked.machines.as_dict() if picked.machines else None,
        "verification": picked.check.as_dict() if picked.check else None,
        "noise": list(picked.noise),
    }


def whole_page(picked: Picked, said: Sequence[str]) -> RenderableType:
    """Return the whole output of ``pick``.

    The output has the answer, warnings about disturbed measurements, and the result of
    ``--verify``.
    """
    parts = [answer_page(picked.answer, said)]
    parts += [Text(f"noise: {line}", "yellow") for line in picked.noise]
    parts += [picked.check.page()] if picked.check else []
    return Group(*parts)


def answer_page(answer: Answer, remarks: Sequence[str]) -> RenderableType:
    """Return the answer: a sentence with the recommendation, remarks, and a table of backends.

    Below the table, the answer lists the numbers of rows at which the fastest backend changes.
    """
    parts: list[RenderableType] = [Text(sentence(answer), "bold"), Text()]
    parts += [*map(Text, remarks), *([Text()] if remarks else []), _table(answer)]
    if any(line.fits is False for line in answer.candidates):
        parts.append(
            Text("✗: needs more memory than there is; the time is for enough memory", "dim")
        )
    if any(line.lower_bound for line in answer.candidates):
        parts.append(Text(LOWER_BOUND, "dim"))
    silent: dict[str, list[str]] = {}
    for line in answer.candidates:
        if line.total_s is None:
            silent.setdefault(line.reason, []).append(line.backend)
    parts += [Text(f"{', '.join(names)}: {why}", "dim") for why, names in silent.items()]
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


def _table(answer: Answer) -> Columns:
    title = f"{size(answer)}, {plural(answer.request.iterations, 'iteration')}"
    table = Columns(*HEADINGS, title=title, gap=0)
    for line in _lines(answer):
        table.add_row(*line)
    return table


def answer_markdown(answer: Answer, remarks: Sequence[str]) -> str:
    """Return the recommendation, the table of the backends and the remarks in Markdown."""
    headings = [heading.replace("\n", " ") for heading in HEADINGS]
    parts = [f"**{sentence(answer)}**\n", markdown_text(headings, _lines(answer))]
    return "\n".join([*parts, *(f"{remark}\n" for remark in remarks)])


def _lines(answer: Answer) -> list[list[str]]:
    """Return the table's lines: a list of cells for each backend with a known total time."""
    shown = [line for line in answer.candidates if line.total_s is not None]
    at_most = bool(answer.plainest) and answer.of(answer.plainest).lower_bound
    return [
        [
            f"{line.backend} ◂" if line.backend == answer.pick else line.backend,
            *_cells(line, at_most=at_most),
        ]
        for line in shown
    ]


def _cells(line: Candidate, *, at_most: bool) -> list[str]:
    """Return the cells of a backend's line in the table, except for the backend's name.

    With `at_most`, the break-even number of iterations is shown as an upper bound ("≤").
    """
    assert line.total_s is not None  # noqa: S101 `_lines` passes only candidates with a total
    assert line.step_s is not None  # noqa: S101
    even = line.break_even_iterations
    pays = "never" if even is None else "1" if even <= 1 else rounded(even)
    if at_most and pays != "1":
        pays = "–" if even is None or line.lower_bound else f"≤ {pays}"
    bound = line.lower_bound
    return [
        byte_count(line.needs_bytes, 2) + (" ✗" if line.fits is False else ""),
        seconds(line.setup_s, 2),
        f"> {seconds(line.step_s.low)}" if bound else seconds(line.step_s.median),
        f"> {duration(line.total_s.low)}" if bound else span(line.total_s),
        pays,
        percent(line.bandwidth_fraction),
    ]
