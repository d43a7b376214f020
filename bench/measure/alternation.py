"""Two processes that take turns, round by round.

On a shared machine a core is slow for a second and then fast again, for reasons
outside; a run that measures the old code now and the new code some seconds
later sees that, and not the code. Of two processes that take turns one runs at
a time: it measures a round, hands over and waits for its turn. So each round has
one of the other process right beside it, which neighbours hit alike.

They share a socket. A message is the turn itself; the first has it when the second
is there. Where a row begins it says which, and how many steps and rounds it is to
take. Whoever finds the other at another row (a row failed on one side) lets it go
first to its end. A process whose partner has ended goes on alone, and so does one
that never had one.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

SEAT = "DESCENTBENCH_TURNS"
"""The variable that tells a process its socket and whether it begins: ``5 first``."""

PAUSE_S = 0.01
"""Before a turn is handed over; OpenMP's threads spin for some ms before they sleep."""

ALONE = "alone"
"""The message after which the other need not hand over any more."""


@dataclass(frozen=True)
class Seat:
    """One side of a pair, as the parent hands it to a child.

    Attributes
    ----------
    socket : socket
    first : bool
        Whether it begins.
    """

    socket: socket.socket
    first: bool

    @property
    def environment(self) -> dict[str, str]:
        """What the child's environment must hold."""
        return {SEAT: f"{self.socket.fileno()} {'first' if self.first else 'second'}"}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the child must inherit."""
        return (self.socket.fileno(),)

    def leave(self) -> None:
        """Close the parent's copy: when the child has ended, too, the other is told."""
        self.socket.close()


def seats() -> tuple[Seat, Seat]:
    """Return the two sides, the one that begins first."""
    a, b = socket.socketpair()
    return Seat(a, first=True), Seat(b, first=False)


class Turns:
    """A child's side.

    Attributes
    ----------
    alone : bool
        Whether there is nobody to hand over to.
    """

    def __init__(self, channel: socket.socket | None = None, *, first: bool = True) -> None:
        self.first, self.alone = first, channel is None
        self._received = ""
        if channel is not None:
            self._channel, self._lines = channel, channel.makefile("r", encoding="ascii")
            if first:
                self._receive()  # an older checkout never answers, but ends
            else:
                self._hand_over("")

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Turns:
        """Take the seat that the environment names, if any, and wait for the turn."""
        if SEAT not in environment:
            return cls()
        descriptor, which = environment[SEAT].split()
        return cls(socket.socket(fileno=int(descriptor)), first=which == "first")

    def agree(self, row: str, steps: int, rounds: int) -> tuple[int, int]:
        """Meet the other where a row begins; return how many steps and rounds both take.

        What a turn costs beside its steps, such as filling the caches, is then the
        same share for both.
        """
        if self.alone:
            return steps, rounds
        before = self._received
        if not self._hand_over(f"{row} {steps} {rounds}"):
            return steps, rounds
        theirs = (self._received if self.first else before).split()
        if theirs[:1] != [row]:
            self._hand_over(ALONE)  # it will never hand over again, but end
            return steps, rounds
        return min(steps, int(theirs[1])), min(rounds, int(theirs[2]))

    def next(self) -> None:
        """Let the other measure its round; return when the turn is back."""
        if not self.alone:
            self._hand_over("")

    def _hand_over(self, message: str) -> bool:
        """Send a message and wait for the answer; whether the other still takes turns."""
        time.sleep(PAUSE_S)
        try:
            self._channel.sendall(f"{message}\n".encode())
        except OSError:  # it ended before it could read that
            self.alone = True
        else:
            self._receive()
        return not self.alone

    def _receive(self) -> None:
        try:
            line = self._lines.readline()
        except OSError:
            line = ""
        self._received = line.rstrip("\n")
        self.alone = not line or self._received == ALONE


def start_on(turn: int) -> None:
    """Move the calling thread to another processor each turn, from where it may move on.

    A process that wakes up stays where it was, and one processor may be slower than
    the other for as long as a neighbour has its twin. Both take the same ones in turn.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(usable)[turn % len(usable)]})
    os.sched_setaffinity(0, usable)
