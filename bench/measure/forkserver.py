"""Run pytest several times in one process, for ``descentbench run``.

`bench.measure.launcher` sends requests to this process through a socket. In this module, a
request is called an order. An order asks for one call of pytest and holds the arguments of
pytest. At its start, the process imports pytest, NumPy and the benchmarks' modules. There are
two kinds of order:

- An order for a setup runs in a fork of the process. The fork imports the backend's library,
  compiles code and places the data, as a new process would. NumPy's threads do not survive a
  fork, so `bench.host.threads.apply` starts new threads before anything is measured.
- An order for timing steps runs in the process itself. The libraries that it imports and the
  code that it compiles stay in the process for the next order.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import socket
import sys
from typing import Any, NoReturn

import pytest

from bench.host.memory import settle
from bench.host.process import PARENT, end_with_parent

MODULES = ("pytest_benchmark.plugin", "bench.measure.rounds", "bench.conftest")
"""Modules that all benchmarks need. This process imports them when it starts."""

UNFINISHED = ("last_type", "last_value", "last_traceback", "last_exc")
"""Attributes of `sys` that keep a failed test's exception and its variables in memory."""


def serve(channel: socket.socket) -> None:
    """Carry out the orders that arrive through a socket, until the sender closes the socket.

    An order asks for one call of pytest.
    """
    lines = channel.makefile("r", encoding="utf-8")
    for line in lines:
        order: dict[str, Any] = json.loads(line)
        before = _cpu_s()
        if order["fork"]:
            child = os.fork()
            with contextlib.suppress(OSError):  # the child may have ended already
                os.setpgid(child, child)
            if not child:
                lines.close()
                channel.close()
                order["environment"][PARENT] = str(os.getppid())
                _leave(_pytest(order))
            _tell(channel, process=child)
            _, ended, _ = os.wait4(child, 0)
            status = os.waitstatus_to_exitcode(ended)
        else:
            _tell(channel, process=os.getpid())
            status = _pytest(order)
            _let_go()
        _tell(channel, status=status, cpu_s=_cpu_s() - before)


def _pytest(order: dict[str, Any]) -> int:
    """Run pytest with the arguments, environment variables and log file that `order` holds.

    The result is the exit status of pytest.
    """
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = ["pytest", *order["arguments"]]
    status = int(pytest.main(order["arguments"]))
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _leave(status: int) -> NoReturn:
    """End this fork without Python's cleanup, which lasts half a second with PyTorch or JAX."""
    if "distributed" in sys.modules:  # the cleanup ends Dask's workers
        sys.exit(status)
    os._exit(status)


def _let_go() -> None:
    """Release the data of the case just measured, and make later garbage collections fast.

    After this call, the garbage collector skips all objects that exist now.
    """
    from bench.measure.opened import forget

    for name in UNFINISHED:
        vars(sys).pop(name, None)
    forget()
    settle()
    gc.freeze()


def _cpu_s() -> float:
    """Return the processor time in seconds of this process and its ended children."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in own)


def _tell(channel: socket.socket, **message: float) -> None:
    channel.sendall(f"{json.dumps(message)}\n".encode())


if __name__ == "__main__":
    end_with_parent()
    for module in MODULES:
        importlib.import_module(module)
    serve(socket.socket(fileno=int(sys.argv[1])))
