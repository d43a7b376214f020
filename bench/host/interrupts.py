"""End a command cleanly after a signal: end its child processes and restore the terminal."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

ENDS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command: a shutdown or a batch system sends SIGTERM, a closing terminal
sends SIGHUP."""

AGAIN_S = 0.01
"""Delay in seconds before a lost signal is sent again: enough for most finalisers to end."""


class Terminated(KeyboardInterrupt):
    """A signal ended the command; code that handles Ctrl-C handles this exception, too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Terminated` for the signals of `ENDS`, so that a command can clean up.

    A signal that the parent process set to be ignored stays ignored.
    """

    def stop(number: int, _frame: object) -> None:
        raise Terminated(number)

    changed = []
    if threading.current_thread() is threading.main_thread():
        changed = [n for n in ENDS if signal.getsignal(n) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, stop)
    try:
        with _none_is_lost():
            yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _none_is_lost() -> Iterator[None]:
    """Send a signal again if Python received the signal in a finaliser.

    An exception cannot leave ``__del__`` or the callback of a weak reference: Python prints
    "Exception ignored", and the program continues. Every import ends in such a callback.
    """
    before = sys.unraisablehook

    def hook(unraisable: UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            before(unraisable)
            return
        # The signal is not sent at once, because the finaliser is still running.
        # `threading.Thread` is not used, because the interrupted code may hold its locks.
        number = number_of(unraisable.exc_value)
        _thread.start_new_thread(_again, (threading.get_ident(), number))

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _again(thread: int, number: int) -> None:
    """Send a thread a signal after `AGAIN_S`; the signal interrupts a waiting system call."""
    time.sleep(AGAIN_S)
    signal.pthread_kill(thread, number)


@contextmanager
def interrupts() -> Iterator[None]:
    """Raise a KeyboardInterrupt that a library wrapped in another exception.

    Numba returns a result together with the exception, and Python reports a SystemError. Up to
    Python 3.11, an interrupt during the creation of a class becomes a RuntimeError.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise


def number_of(interrupt: KeyboardInterrupt) -> int:
    """Return the number of the signal that raised an interrupt."""
    return interrupt.number if isinstance(interrupt, Terminated) else signal.SIGINT


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """Return the exit code that a shell gives for the signal: Ctrl-C is 130, SIGTERM 143."""
    return 128 + number_of(interrupt)
