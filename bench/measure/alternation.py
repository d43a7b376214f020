"""Let two processes alternate, round by round; a round is a timed call of some steps.

On a shared machine, other programs slow a processor for a second or so. A run that measures the
old code now and the new code some seconds later therefore measures the machine instead of the
code. When two processes alternate, only one runs at a time: the process measures a round, hands
over, and waits. Each round then lies next to a round of the other process, and disturbances
affect both rounds equally.

The two processes share a socket and alternate by passing a line of text through the socket. The
first process starts once the second process has connected. At the beginning of a case, the line
names the case, its steps and its rounds. The two cases differ if a case failed in one process.
One process then runs to its end before the other process continues. A process without a
partner, or whose partner has ended, measures alone.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "DESCENTBENCH_TURNS"
"""Environment variable that holds the descriptor of a process's socket, and ``first`` for the
process that begins or ``second`` for the other process: ``5 first``."""

PAUSE_S = 0.01
"""Pause before handing over, in seconds: OpenMP threads spin for some milliseconds before they
sleep."""

ALONE = "alone"
"""Message that tells the other process to continue without handing over."""


@dataclass(frozen=True)
class Side:
    """One side of a pair of alternating processes; the parent creates it for a child.

    Attributes
    ----------
    socket : socket
    first : bool
        Whether this side begins.
    """

    socket: socket.socket
    first: bool

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables that the child needs."""
        return {VARIABLE: f"{self.socket.fileno()} {'first' if self.first else 'second'}"}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the open files that the child must inherit."""
        return (self.socket.fileno(),)

    def leave(self) -> None:
        """Close the parent's copy, so that the end of the child closes the socket."""
        self.socket.close()


def sides() -> tuple[Side, Side]:
    """Return the two sides of a new pair; the first side begins."""
    a, b = socket.socketpair()
    return Side(a, first=True), Side(b, first=False)


class Alternation:
    """Alternates with another process through a socket; without a socket, measures alone.

    Attributes
    ----------
    alone : bool
        Whether this process measures without a partner.
    """

    def __init__(self, channel: socket.socket | None = None, *, first: bool = True) -> None:
        self.first, self.alone = first, channel is None
        self._received = ""
        if channel is not None:
            self._channel, self._lines = channel, channel.makefile("r", encoding="ascii")
            if first:
                self._receive()  # an old checkout sends nothing, but closes the socket
            else:
                self._hand_over("")

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Alternation:
        """Return the alternation that `VARIABLE` describes; wait until this process begins."""
        if VARIABLE not in environment:
            return cls()
        descriptor, which = environment[VARIABLE].split()
        return cls(socket.socket(fileno=int(descriptor)), first=which == "first")

    def agree(self, case: str, steps: int, rounds: int) -> tuple[int, int]:
        """Return the steps and rounds of a case that both processes use: the smaller numbers.

        The cost of a handover, such as refilling the caches, is then an equal share of the
        times of both processes.
        """
        if self.alone:
            return steps, rounds
        before = self._received
        if not self._hand_over(f"{case} {steps} {rounds}"):
            return steps, rounds
        theirs = (self._received if self.first else before).split()
        if theirs[:1] != [case]:
            self._hand_over(ALONE)  # this side continues after the other side has ended
            return steps, rounds
        return min(steps, int(theirs[1])), min(rounds, int(theirs[2]))

    def next(self) -> None:
        """Let the other process measure a round; return when this process may measure."""
        if not self.alone:
            self._hand_over("")

    def _hand_over(self, message: str) -> bool:
        """Send a message and wait for the answer; return whether both sides still alternate."""
        time.sleep(PAUSE_S)
        try:
            self._channel.sendall(f"{message}\n".encode())
        except OSError:  # the other process ended before reading the message
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


def start_on(number: int) -> None:
    """Move the calling thread to the processor of round `number`; the system may move it again.

    A process that wakes up stays on its processor. A processor is slower while another program
    uses the second logical CPU of its core. With this function, both processes use the same
    processors in the same order.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(usable)[number % len(usable)]})
    os.sched_setaffinity(0, usable)
