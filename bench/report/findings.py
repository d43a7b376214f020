"""Write the first screen of the page that ``descentbench report`` makes.

It has a few sentences, a picture of the step times, and a list of doubtful cases. A case (a
backend at one size) is doubtful if it failed or if its time is unstable.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from bench.report.sources import Source
from bench.results.case import SQUARED
from bench.results.summary import Result, instability
from bench.show.text import count, percent, plural, seconds, times

PLAIN = "numpy"
"""Backend to which all others are compared: plain NumPy."""

MOST_SIZES = 11
"""Largest number of data sizes in the picture of the step times: 11 sizes fit on the first
screen of a laptop."""

MAIN_SIZES = 4
"""Largest number of data sizes that a phone shows in the picture of the step times."""

MOST_DOUBTS = 8
"""Largest number of failed or unstable cases that are listed. Further cases are only
counted."""


@dataclass(frozen=True)
class Best:
    """The fastest backend at one size, the time of plain NumPy, and the time to read the data.

    Attributes
    ----------
    result : Result
        The result of the fastest backend among all backends except `gram` techniques.
    step_s : float
        Time of a step of the fastest backend, in seconds.
    plain_s : float or None
        Time of a step of plain NumPy, in seconds; None if not measured.
    read_s : float or None
        Time to read the bytes of a step once, in seconds; None if not measured.
    """

    result: Result
    step_s: float
    plain_s: float | None
    read_s: float | None

    @property
    def size(self) -> str:
        """The size as text: ``1e6 × 32`` (rows × features)."""
        return size_name(self.result)

    @property
    def speed_up(self) -> float | None:
        """Speed-up over plain NumPy, such as 14.0; None if plain NumPy was not measured."""
        return self.plain_s / self.step_s if self.plain_s else None

    @property
    def share(self) -> float | None:
        """Throughput of the step ÷ throughput of a read without arithmetic; None if unknown."""
        return self.result.bandwidth_fraction


def size_name(result: Result) -> str:
    """Return rows × features as text, followed by the dtype if it is not float32."""
    dtype = "" if result.dtype == "float32" else f", {result.dtype}"
    return f"{count(result.rows)} × {count(result.features)}{dtype}"


def bests(source: Source, loss: str | None = None) -> list[Best]:
    """Return the fastest backend at every size; sizes are ordered by features, dtype and rows.

    If `loss` is None, the first loss in ``source.losses`` is used: squared error, if it was
    measured.
    """
    found = []
    loss = loss or next(iter(source.losses), SQUARED)
    usable = [r for r in source.of_loss(loss) if r.step_s and not r.least_squares_only]
    reads = {(r.device, *r.size): r.read_s for r in source.limits if r.bounds}
    ordered = sorted(usable, key=_size)
    for _, group in groupby(ordered, key=_size):
        mine = {r.backend: (r.step_s.median, r) for r in group if r.step_s}
        step_s, result = min(mine.values(), key=lambda pair: pair[0])
        plain = mine.get(PLAIN)
        case = result.case
        read_s = reads.get((case.device, *case.size))
        found.append(Best(result, step_s, plain[0] if plain else None, read_s))
    return found


def _size(result: Result) -> tuple[int, str, int]:
    return result.features, result.dtype, result.rows


def sentences(found: Sequence[Best]) -> list[str]:
    """Return three sentences about the fastest backends.

    The sentences give the names of these backends, the speed-up over plain NumPy, and the share
    of the read bandwidth.
    """
    if not found:
        return ["No step was timed on this machine: run 'descentbench run' there."]
    return [_fastest(found), _speed_up(found), _limit(found)]


def other_losses(source: Source) -> list[str]:
    """Return a sentence for each measured loss except the main loss, usually squared error.

    A sentence gives the fastest backends and their speed-up over plain NumPy.
    """
    return [_other_loss(loss, bests(source, loss)) for loss in source.losses[1:]]


def _other_loss(loss: str, found: Sequence[Best]) -> str:
    if not found:
        return f"{loss}: no step was timed."
    first = _fastest(found).removesuffix(" (rows × features).")
    ratios = [best.speed_up for best in found if best.speed_up is not None]
    if not ratios:
        return f"{loss}: {first}."
    return f"{loss}: {first}; it is {_between(ratios, times)} as fast as plain NumPy."


def _fastest(found: Sequence[Best]) -> str:
    wins = Counter(best.result.backend for best in found)
    (first, most), *others = wins.most_common()
    sizes = f"all {len(found)} sizes" if most == len(found) else f"{most} of {len(found)} sizes"
    if len(found) == 1:
        sizes = found[0].size
    text = f"{first} has the shortest step at {sizes}"
    for backend, _ in others:
        where = [best.size for best in found if best.result.backend == backend]
        more = f" and {len(where) - 2} more" if len(where) > 2 else ""
        text += f"; {backend} has it at {', '.join(where[:2])}{more}"
    return f"{text} (rows × features)."


def _speed_up(found: Sequence[Best]) -> str:
    known = [(best.speed_up, best) for best in found if best.speed_up is not None]
    if not known:
        return (
            "Plain NumPy was not measured here, so there is no speed-up: "
            "run 'descentbench run' on this machine."
        )
    if all(best.result.backend == PLAIN for _, best in known):
        return "No backend is faster than plain NumPy here."
    largest = max(known, key=lambda pair: pair[1].result.bytes_per_step)
    text = f"The fastest is {_between([r for r, _ in known], times)} as fast as plain NumPy"
    if len(known) > 1:
        text += f", {times(largest[0])} at {largest[1].size}"
    return f"{text}."


def _limit(found: Sequence[Best]) -> str:
    known = [(best.share, best) for best in found if best.share is not None]
    if not known:
        return (
            "The limit of the machine's memory was not measured: "
            "'descentbench run --limit' measures it."
        )
    largest = max(known, key=lambda pair: pair[1].result.bytes_per_step)
    text = (
        "The limit is reading the data once: where a step reads 1 MB or more, the fastest "
        f"reaches {_between([share for share, _ in known], percent)} of the read bandwidth"
    )
    if len(known) > 1:
        text += f", {percent(largest[0])} at {largest[1].size}"
    return f"{text}."


def _between(values: Sequence[float], write: Callable[[float], str]) -> str:
    """Return the range from the smallest to the largest value as text: ``2.1–230×``."""
    low, high = write(min(values)), write(max(values))
    return high if low == high else f"{low.rstrip('×%')}–{high}"


def headline(source: Source) -> str:
    """Return the main finding as one line of text, which ``run --report`` prints."""
    found = bests(source)
    if not found:
        return "nothing was timed"
    first, wins = Counter(best.result.backend for best in found).most_common(1)[0]
    text = f"{first} has the shortest step at {wins} of {plural(len(found), 'size')}"
    ratios = [b.speed_up for b in found if b.speed_up and b.result.backend != PLAIN]
    if ratios:
        text += f"; the fastest is up to {times(max(ratios))} as fast as plain NumPy"
    shares = [best.share for best in found if best.share is not None]
    if shares:
        text += f" and reaches up to {percent(max(shares))} of the read bandwidth"
    return text


@dataclass(frozen=True)
class Mark:
    """A labelled point on the time axis of the report's picture of step times.

    `at` is the distance from the left end of the time axis, in percent of its length.
    """

    kind: str
    at: float
    says: str


@dataclass(frozen=True)
class Line:
    """The times at one data size: a line of points in the report's picture of step times.

    `figures` is the text beside the points. If `main` is False, phones do not show the line.
    """

    best: Best
    marks: tuple[Mark, ...]
    figures: str
    main: bool


@dataclass(frozen=True)
class Picture:
    """A picture of step times. The points of one data size lie on one horizontal line.

    The points of a line show the times of the fastest backend, of plain NumPy, and of reading
    the data once. `left_out` is the number of sizes that are not shown.
    """

    lines: tuple[Line, ...]
    ticks: tuple[Mark, ...]
    left_out: int


def picture(found: Sequence[Best]) -> Picture:
    """Return a picture of the step times in `found`.

    At most `MOST_SIZES` sizes are shown. Sizes with the most common number of
    features are left out first.
    """
    shown = list(found)
    while len(shown) > MOST_SIZES:  # drop a size of the commonest feature count
        crowded = Counter(best.result.features for best in shown).most_common(1)[0][0]
        middle = [best for best in shown if best.result.features == crowded]
        shown.remove(middle[len(middle) // 2])
    times_s = [t for b in shown for t in (b.step_s, b.plain_s, b.read_s) if t]
    if not times_s:
        return Picture((), (), 0)
    low = math.floor(math.log10(min(times_s)))
    high = max(low + 1, math.ceil(math.log10(max(times_s))))

    def at(value: float) -> float:
        return round(100 * (math.log10(value) - low) / (high - low), 2)

    last = len(shown) - 1
    main = {round(k * last / (MAIN_SIZES - 1)) for k in range(MAIN_SIZES)}

    def line(number: int, best: Best) -> Line:
        known = (
            ("limit", "reading once", best.read_s),
            ("plain", "numpy", best.plain_s),
            ("best", best.result.backend, best.step_s),
        )
        marks = tuple(Mark(k, at(t), f"{name} {seconds(t)}") for k, name, t in known if t)
        parts = [seconds(best.step_s)]
        if best.speed_up is not None:
            parts.append(f"{times(best.speed_up)} NumPy")
        if best.share is not None:
            parts.append(f"{percent(best.share)} of limit")
        return Line(best, marks, " · ".join(parts), number in main)

    step = max(1, math.ceil((high - low) / 4))
    ticks = [Mark("tick", at(10.0**k), seconds(10.0**k)) for k in range(low, high + 1, step)]
    return Picture(
        tuple(line(i, best) for i, best in enumerate(shown)),
        tuple(ticks),
        len(found) - len(shown),
    )


def doubts(source: Source) -> tuple[list[str], int]:
    """Return texts about failed and unstable cases, and how many of these cases there are.

    At most `MOST_DOUBTS` texts are returned.
    """
    failed = [
        f"{r.backend} at {size_name(r)} failed: {r.reason}"
        for r in source.results
        if not r.verified
    ]
    shaky = sorted((r for r in source.results if r.unstable), key=lambda r: -r.spread)
    unstable = [f"{r.backend} at {size_name(r)} {instability(r.spread)}" for r in shaky]
    both = failed + unstable
    return both[:MOST_DOUBTS], len(both)
