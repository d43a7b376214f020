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
"""Delay in seconds before `_again` sends a signal: 10 ms. A finaliser that ignored the
signal usually ends within this time."""


class Terminated(KeyboardInterrupt):
    """A signal of `ENDS` arrived. ``except KeyboardInterrupt`` catches this exception, too."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Terminated` when a signal of `ENDS` arrives, so that a command can clean up.

    A signal that this process already ignores stays ignored, such as SIGHUP under ``nohup``.
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
    """Raise a KeyboardInterrupt again if Python has ignored it.

    Python ignores exceptions in ``__del__`` and in the callback of a weak reference. Every
    import runs such a callback, so Ctrl-C during an import can be lost.
    """
    before = sys.unraisablehook

    def hook(unraisable: UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            before(unraisable)
            return
        # The signal is not sent at once, because the finaliser is still running.
        # `threading.Thread` is not used: the interrupted code may hold a lock of `threading`.
        number = number_of(unraisable.exc_value)
        _thread.start_new_thread(_again, (threading.get_ident(), number))

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _again(thread: int, number: int) -> None:
    """Wait for `AGAIN_S` seconds, then send the signal `number` to the thread `thread`."""
    time.sleep(AGAIN_S)
    signal.pthread_kill(thread, number)


@contextmanager
def interrupts() -> Iterator[None]:
    """Run a ``with`` block; if Ctrl-C becomes another exception, raise KeyboardInterrupt.

    - Numba: Ctrl-C in a compiled function can become a SystemError.
    - Python up to 3.11: Ctrl-C during the creation of a class becomes a RuntimeError.
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
    """Return the exit code of shells for the signal: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + number_of(interrupt)
