"""Test two processes that alternate: never both at once, equal rounds, and a common end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from threading import Lock, Thread, Timer

import pytest

from bench.measure import alternation as turns
from bench.measure.alternation import Alternation, Side, sides, start_on

ROW, NEXT = "numpy/100x1/float32", "numpy/200x1/float32"

PATIENCE_S = 20.0
"""Time limit in seconds after which a test counts as a deadlock."""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PAUSE_S", 0.0)


class Log:
    """List of what both sides did, in order; an entry fails while the other side is busy."""

    def __init__(self) -> None:
        self.lines, self.busy = list[str](), Lock()

    def __call__(self, what: str) -> None:
        assert self.busy.acquire(blocking=False), f"{what} beside another"
        self.lines.append(what)
        self.busy.release()


def together(*both: Callable[[Alternation], None]) -> None:
    """Run two sides in two threads that are connected by sockets, until both have ended."""
    failed: list[BaseException] = []

    def run(end: Side, side: Callable[[Alternation], None]) -> None:
        try:
            mine = Alternation(end.socket, first=end.first)
            with mine._lines, end.socket:
                side(mine)
        except BaseException as error:
            failed.append(error)

    threads = [
        Thread(target=run, args=pair, daemon=True) for pair in zip(sides(), both, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not failed
    assert not any(thread.is_alive() for thread in threads)


def measures(
    log: Log, name: str, *rows: tuple[str, int, int], fails_at: int | None = None
) -> Callable[[Alternation], None]:
    """Return a side that writes a line to `log` in each round.

    `rows` are tuples (case, steps, rounds). In the first case, the side stops in round
    `fails_at`.
    """

    def side(mine: Alternation) -> None:
        for number, (row, steps, rounds) in enumerate(rows):
            steps, rounds = mine.agree(row, steps, rounds)
            for k in range(rounds):
                if k:
                    mine.next()
                if number == 0 and k == fails_at:
                    break
                log(f"{name} {row[6]} {steps} {k}")

    return side


def test_they_take_the_same_rounds_side_by_side() -> None:
    log = Log()
    together(
        measures(log, "a", (ROW, 50, 3), (NEXT, 7, 2)),
        measures(log, "b", (ROW, 40, 5), (NEXT, 9, 2)),
    )
    rounds = [f"1 40 {k}" for k in range(3)] + [f"2 7 {k}" for k in range(2)]
    assert log.lines == [f"{side} {what}" for what in rounds for side in "ab"]


@pytest.mark.parametrize("failing", ["a", "b"])
def test_where_a_row_fails_on_one_side_the_other_ends_first(failing: str) -> None:
    log = Log()
    rows = (ROW, 1, 4), (NEXT, 1, 2)
    together(
        *(measures(log, s, *rows, fails_at=2 if s == failing else None) for s in ("a", "b"))
    )
    sound = "b" if failing == "a" else "a"
    mine = [line for line in log.lines if line[0] == failing]
    assert mine == [f"{failing} {what}" for what in ("1 1 0", "1 1 1", "2 1 0", "2 1 1")]
    ends = [log.lines.index(f"{sound} 2 1 1"), log.lines.index(f"{failing} 2 1 0")]
    assert ends == sorted(ends)


@pytest.mark.parametrize("dying", ["a", "b"])
def test_whoever_is_left_goes_on_alone(dying: str) -> None:
    log = Log()
    rows = {"a": [(ROW, 1, 3), (NEXT, 1, 1)], "b": [(ROW, 1, 3), (NEXT, 1, 1)]}
    rows[dying] = []
    together(*(measures(log, side, *rows[side]) for side in ("a", "b")))
    left = "b" if dying == "a" else "a"
    assert log.lines == [f"{left} {what}" for what in ("1 1 0", "1 1 1", "1 1 2", "2 1 0")]


def test_a_seat_is_found_in_the_environment() -> None:
    first, second = sides()
    second.socket.sendall(b"\n")
    mine = Alternation.of({turns.VARIABLE: f"{os.dup(*first.descriptors)} first"})
    assert first.environment == {turns.VARIABLE: f"{first.descriptors[0]} first"}
    assert (mine.first, mine.alone) == (True, False)
    second.leave()
    with mine._lines, mine._channel:
        mine.next()
    assert mine.alone
    first.leave()


def test_the_first_waits_for_a_second_that_knows_no_turns_to_end() -> None:
    first, second = sides()
    Timer(0.2, second.leave).start()
    began = time.monotonic()
    mine = Alternation(first.socket, first=True)
    with mine._lines, first.socket:
        assert mine.alone
    assert time.monotonic() - began > 0.1


def test_alone_nothing_is_agreed() -> None:
    mine = Alternation.of({})
    assert mine.alone
    mine.next()
    assert mine.agree(ROW, 3, 4) == (3, 4)


@pytest.fixture
def processors() -> Iterator[set[int]]:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity here")
    usable = os.sched_getaffinity(0)
    yield usable
    os.sched_setaffinity(0, usable)


def test_all_processors_take_their_turn_and_none_is_kept(
    processors: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[set[int]] = []
    pin = os.sched_setaffinity
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda pid, to: (chosen.append(set(to)), pin(pid, to))
    )
    for turn in range(len(processors)):
        start_on(turn)
        assert os.sched_getaffinity(0) == processors
    assert set().union(*chosen[::2]) == processors
    assert all(len(one) == 1 for one in chosen[::2])
