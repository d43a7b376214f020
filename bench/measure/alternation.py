"""Let two processes measure alternately: a round of one process, then a round of the other.

A round is one timed call that takes many steps and lasts about 20 ms. On a shared machine,
another program can slow a processor for about a second. Two consecutive rounds are then slowed
equally, and the ratio of their times stays right.

Only one of the two processes runs at a time. After a round, the process sends a line of text
through a socket and waits for a line from the other process:

- The first process starts after the second process has sent a line.
- At the beginning of a case, the line holds the name of the case, the number of steps in a
  round, and the number of rounds.
- If a case fails in only one process, the two processes no longer measure the same case. One
  process then measures all its remaining cases alone, and the other process waits for its end.
- A process measures alone if there is no other process, or after the other process has ended.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "DESCENTBENCH_TURNS"
"""Name of the environment variable that gives a child process the file descriptor of its
socket, and says whether the process measures first or second. Example: ``5 first``."""

PAUSE_S = 0.01
"""Pause in seconds after a round, before this process lets the other process continue: 10 ms.

In this time, the OpenMP threads of this process stop using the processors.
"""

ALONE = "alone"
"""Message with which one process lets the other process measure all remaining cases alone."""


@dataclass(frozen=True)
class Side:
    """One end of the connection between two alternating child processes.

    Attributes
    ----------
    socket : socket
        Connection to the other child process.
    first : bool
        Whether this child process measures first.
    """

    socket: socket.socket
    first: bool

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variable that tells a child process to use this socket."""
        return {VARIABLE: f"{self.socket.fileno()} {'first' if self.first else 'second'}"}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the file descriptor of the socket, which a child process must inherit."""
        return (self.socket.fileno(),)

    def leave(self) -> None:
        """Close the socket in this process; the child process has inherited its own copy."""
        self.socket.close()


def sides() -> tuple[Side, Side]:
    """Return both ends of a new connection. The process with the first end measures first."""
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
        """Create the alternation that the environment variable `VARIABLE` describes.

        The function waits until this process is allowed to measure. Without the variable, the
        process measures alone.
        """
        if VARIABLE not in environment:
            return cls()
        descriptor, which = environment[VARIABLE].split()
        return cls(socket.socket(fileno=int(descriptor)), first=which == "first")

    def agree(self, case: str, steps: int, rounds: int) -> tuple[int, int]:
        """Agree with the other process on a case's number of steps and of rounds.

        Each returned number is the smaller of the two processes' numbers. A process that
        measures alone gets its own numbers back.
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
        """Send a message and wait for the answer; return False if this process is now alone."""
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
    """Move the calling thread to another processor before a round.

    If two alternating processes call this function before each round, both use the same
    processors in the same order, and neither process stays on a slower processor.

    Parameters
    ----------
    number : int
        Number of the round. Rounds 0, 1, 2 start on processors 0, 1, 2, and so on.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(usable)[number % len(usable)]})
    os.sched_setaffinity(0, usable)
