"""Let two processes measure alternately: a round of one process, then a round of the other.

A round is one timed call that takes many steps. Reason for alternating: on a shared machine,
another program can slow a processor for about a second. Two consecutive rounds are slowed
equally, so the ratio of their times stays right.

Only one of the two processes runs at a time. After a round, it sends a line of text through a
socket and waits for a line from the other process:

- The first process starts once the second process has sent a line.
- At the beginning of a case, the line holds the case, its steps and its rounds.
- The two processes have different cases if a case failed in one process. One process then runs
  to its end before the other process continues.
- A process measures alone if there is no other process, or after the other process has ended.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

VARIABLE = "DESCENTBENCH_TURNS"
"""Environment variable that gives a child process the file descriptor of its socket, and its
place, ``first`` or ``second``. Example: ``5 first``."""

PAUSE_S = 0.01
"""Pause in seconds before the other process may continue: 10 ms. OpenMP threads of this process
spin for some milliseconds before they sleep, and would slow the other process."""

ALONE = "alone"
"""Message that tells the other process to measure alone from now on."""


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
        """Return the environment variable that tells the child process its side."""
        return {VARIABLE: f"{self.socket.fileno()} {'first' if self.first else 'second'}"}

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Return the file descriptors that the child process must inherit."""
        return (self.socket.fileno(),)

    def leave(self) -> None:
        """Close the socket in the parent process; the child process has its own copy."""
        self.socket.close()


def sides() -> tuple[Side, Side]:
    """Return the sides of two child processes; the process with the first side begins."""
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
        """Return the alternation of this process once this process may begin.

        `VARIABLE` describes the alternation. Without this variable, the process measures alone.
        """
        if VARIABLE not in environment:
            return cls()
        descriptor, which = environment[VARIABLE].split()
        return cls(socket.socket(fileno=int(descriptor)), first=which == "first")

    def agree(self, case: str, steps: int, rounds: int) -> tuple[int, int]:
        """Agree with the other process on a case's number of steps and of rounds.

        Each returned number is the smaller of the two processes' numbers. A process that
        measures alone gets its own numbers back. Reason: each handover costs time, for example
        to refill the caches. With equal steps, this cost is equal for both processes.
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
    """Move the calling thread to another processor for each round, in a fixed order.

    Afterwards the system may move the thread again. Reason: a waking process stays on its
    processor, which is slower while another program uses the same core. With this function, two
    alternating processes use the same processors in the same order.

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
