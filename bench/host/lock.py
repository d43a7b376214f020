"""Lock a results folder while a run measures, because two runs would slow each other down."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from bench.host.files import StoreError

NAME = ".lock"
"""Name of the lock file in a results folder."""


@contextmanager
def hold(store: Path) -> Iterator[None]:
    """Lock the results folder `store` until the ``with`` block or the process ends.

    Raises
    ------
    StoreError
        Another run holds the lock, or the folder cannot be written to.
    """
    path = store / NAME
    try:
        store.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another run"
            raise StoreError(
                f"{store} is in use by {holder}: wait for it, or choose another --store"
            ) from None
        file.truncate(0)
        since = datetime.now(UTC).isoformat(sep=" ", timespec="seconds")
        file.write(f"process {os.getpid()} since {since}")
        file.flush()
        yield
        file.truncate(0)


@contextmanager
def hold_when_asked(store: Path) -> Iterator[Callable[[], None]]:
    """Yield a function that locks the results folder until the end of the ``with`` block.

    The yielded function raises the errors of `hold`; its second call has no effect. A command
    that only reads results does not call the function, so the results folder can be read-only.
    """
    with ExitStack() as until_the_end:
        yield cache(lambda: until_the_end.enter_context(hold(store)))
