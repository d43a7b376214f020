"""Write the recommendation in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backends.names import Name
from bench.pick.draws import Range
from bench.pick.recommend import Answer, Candidate
from bench.pick.throughput import MemoryThroughput
from bench.pick.ties import TIE, plainness
from bench.show.text import byte_count, count, data_text, duration, plural, times

MARGIN = 0.95
"""Upper limit for the step time of an alternative, as a fraction of the pick's step time.

The alternative is slower than the pick for the requested iterations, but faster for many more
iterations.
"""


def sentence(answer: Answer) -> str:
    """Return one sentence that names the backend to use, its time, and the alternatives."""
    request = answer.request
    if answer.pick is None:
        return "Nothing can be recommended: no backend was measured to the end."
    line = answer.of(answer.pick)
    assert line.total_s is not None  # noqa: S101 a pick has a total
    iterations = plural(request.iterations, "iteration")
    takes = f"{iterations} in {span(line.total_s)}"
    if not answer.fits:
        most = request.memory_bytes["cpu"]
        machines = -(-(line.needs_bytes or request.data_bytes) // most)
        return (
            f"No backend holds {size(answer)} in this machine's memory: "
            f"{byte_count(request.data_bytes, 2)} of data, {byte_count(most, 2)} to use. "
            f"On {count(machines)} machines like it, each with its share of the rows, or on "
            f"one machine with enough memory, use {answer.pick}; one machine would take "
            f"{takes}."
        )
    parts = [f"Use {answer.pick} on {where(answer.pick)}: {takes}"]
    if faster := _faster_but_tied(answer, answer.pick, answer.tied):
        parts.append(faster)
    rivals = [
        c
        for c in answer.candidates
        if c.total_s
        and not c.lower_bound
        and c.fits is not False
        and c.backend not in (answer.pick, *answer.tied)
        and not (request.loop_only and c.least_squares_only)
    ]
    if rivals and (slower := _ratio(rivals[0], line)) >= 1:
        parts.append(f"{rivals[0].backend} would take {times(slower)} as long")
    if later := _pays_later(answer, line, rivals):
        parts.append(later)
    return "; ".join(parts) + "."


def _faster_but_tied(answer: Answer, pick: str, tied: Sequence[str]) -> str:
    """Return a phrase that says why the pick is preferred to a tied backend that seems faster.

    The result is "" if no tied backend has a shorter predicted total than the pick.
    """
    mine = answer.of(pick).total_s
    assert mine is not None  # noqa: S101 a pick has a total
    others = [c for c in map(answer.of, tied) if c.total_s and c.fits is not False]
    first = min(others, key=lambda c: c.total_s.median if c.total_s else 0.0, default=None)
    if first is None or first.total_s is None or first.total_s.median >= mine.median:
        return ""
    reason = "is listed first by 'backends'"
    if mine.median > TIE * first.total_s.median:
        reason = "has the narrower interval"
    elif plainness(pick) < plainness(first.backend):
        reason = "is the plainer of the two"
    return (
        f"{first.backend}, with {duration(first.total_s.median)}, cannot be told apart from "
        f"it, and {pick} {reason}"
    )


def size(answer: Answer) -> str:
    """Return the rows, features and dtype of the request in words."""
    request = answer.request
    columns = "" if request.features == 1 else f" × {request.features} features"
    return f"{count(request.rows)} rows{columns} ({data_text(request.dtype, request.loss)})"


def where(backend: str) -> str:
    """Return a backend's device in words: "this CPU" or a name such as ``cuda:0``."""
    device = Name.parse(backend).device
    return "this CPU" if device == "cpu" else device


def span(total: Range) -> str:
    """Write a total and its interval, for example "12.9 s (12.1–13.8 s)"."""
    low, high = duration(total.low), duration(total.high)
    if low.split()[1] == high.split()[1]:
        low = low.split()[0]
    return f"{duration(total.median)} ({low}–{high})"


def _ratio(other: Candidate, line: Candidate) -> float:
    assert other.total_s is not None  # noqa: S101 both have a total
    assert line.total_s is not None  # noqa: S101
    return other.total_s.median / line.total_s.median


def _pays_later(answer: Answer, line: Candidate, rivals: Sequence[Candidate]) -> str:
    """Return a phrase about a backend that would be faster than the pick with more iterations.

    The result is "" if there is no such backend.
    """
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
    """Write a number with two significant digits, such as 42,000.

    From 10⁷ on, the number has one significant digit, such as 3e7.
    """
    return (
        f"{float(f'{value:.1e}'):,.0f}" if value < 1e7 else f"{value:.0e}".replace("e+0", "e")
    )


def notes(answer: Answer, age: str, excluded: Mapping[str, str], ended: str) -> list[str]:
    """Return the remarks that follow the sentence with the recommendation, one per line.

    Parameters
    ----------
    answer : Answer
    age : str
        Remark about the age of earlier measurements; empty if none were used.
    excluded : mapping
        Reason for each excluded backend.
    ended : str
        Remark that the measuring was interrupted; empty if it was not.
    """
    found: list[str] = []
    if answer.pick is None:
        return found
    if answer.tied:
        found.append(
            f"{answer.pick} can't be told apart from {', '.join(answer.tied)}. Of backends "
            "that tie, pick names the plainest whose expected total is at most 5 % above the "
            "lowest."
        )
    gram = Name.parse(answer.pick).least_squares_only
    if gram and answer.loop_pick:
        other = answer.of(answer.loop_pick)
        assert other.total_s is not None  # noqa: S101 a pick has a total
        faster = _faster_but_tied(answer, answer.loop_pick, answer.loop_tied)
        found.append(
            f"{answer.pick} works only for squared error. For any other loss, use "
            f"{other.backend}: {span(other.total_s)}{f'; {faster}' if faster else ''} "
            "(--loop-only)."
        )
    named = dict.fromkeys([answer.pick, *([answer.loop_pick] if gram else [])])
    found += [
        f"{line.backend} was measured up to {count(line.largest_rows)} rows. Larger sizes are "
        "extrapolated, so the interval is wider."
        for line in map(answer.of, filter(None, named))
        if line.largest_rows < answer.request.rows
    ]
    found += [ended] if ended else []
    found += [age] if age else []
    if excluded:
        names = ", ".join(excluded)
        found.append(f"Excluded early, because they cannot be the fastest here: {names}.")
    return found


def memory_note(memory: MemoryThroughput) -> list[str]:
    """Return a list with a remark about the memory throughput; empty if it hardly varies."""
    if not memory.changes:
        return []
    slow, fast, usual = (f"{of / 1e9:.2g}" for of in (memory.slow, memory.fast, memory.usual))
    found = f"This machine reads memory at {slow} to {fast} GB/s from one time to another"
    return [f"{found}. The totals are for {usual} GB/s; their intervals cover the whole range."]


def streaming_note(answer: Answer, a_pass_s: float | None) -> str:
    """Return a remark for data that exceed the memory: each step can read the rows from a file.

    `a_pass_s` is the time of such a step in seconds; None if unknown.
    """
    if a_pass_s is None or answer.loop_pick is None:
        return (
            "This machine can still do it by reading the rows anew for every step: "
            "'descentbench fit --data FILE' does so, and 'pick --data FILE' says how long that "
            "takes."
        )
    iterations = answer.request.iterations
    return (
        f"Reading the file anew for every step, {answer.loop_pick} takes about "
        f"{duration(a_pass_s)} a pass on this machine: {plural(iterations, 'iteration')} in "
        f"{duration(iterations * a_pass_s)} (descentbench fit --data). A gram backend needs "
        "one pass."
    )
