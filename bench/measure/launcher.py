"""Keep processes alive for several tasks of a run, so that each task starts without delay.

Reason: Python, pytest, NumPy and the benchmarks take 0.6 s to start, and importing a library
takes another second or more.

- One process serves all setups. It forks for each setup; `bench.measure.forkserver` explains
  why a setup in a fork takes as long as in a new process.
- Steps are timed in one process for each library and pass. This process stays alive for all
  sizes. Each pass has its own process, and therefore its own memory layout.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.host.noise import credit
from bench.host.process import LOOK_S, end_group, start
from bench.measure.version import TREE

GOOD = (0, 1)
"""Exit statuses of pytest after which a process can run its next task: 0 (all tests passed) and
1 (some tests failed)."""

KEEP_BYTES = 4 << 30
"""Free memory in bytes below which a process ends after its task: 4 GiB. Up to 20 processes
stay alive, and most of them hold 100 to 400 MB."""

REAP_S = 5.0
"""Longest wait in seconds for the message that a killed fork has ended."""


class Server:
    """A child process that runs `bench.measure.forkserver`.

    Parameters
    ----------
    environment : mapping
        Environment variables at the start of the process.
    log : Path
        File for the output of the process between two orders.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.channel, its = socket.socketpair()
        self.ended, self._received = False, b""
        self._worker = 0
        self._status: int | None = None
        with its:
            command = [sys.executable, "-m", "bench.measure.forkserver", str(its.fileno())]
            self.process = start(command, environment, TREE, log, [its.fileno()])

    def call(self, order: dict[str, Any], patience: Callable[[], bool]) -> int | None:
        """Let the process run pytest for an order; return the exit status of pytest.

        None means that `patience` returned False and pytest was stopped. `order` has the fields
        that `Launcher.call` sets.
        """
        self._worker, self._status = self.process.pid, None
        Path(order["log"]).write_bytes(b"")  # the log exists even if the process never answers
        try:
            with contextlib.suppress(OSError):  # the process has ended; `_listen` finds out
                self.channel.sendall(f"{json.dumps(order)}\n".encode())
            while patience():
                self._listen()
                if self._status is not None or self.ended:
                    return self.process.wait() if self._status is None else self._status
            return None
        finally:  # after Ctrl-C, too
            if self._worker != self.process.pid:  # a fork, whose child processes may still run
                end_group(self._worker)
                deadline = time.monotonic() + REAP_S
                while self._status is None and not self.ended and time.monotonic() < deadline:
                    self._listen()
            if self._status is None:
                self.end()

    def _listen(self) -> None:
        """Read the messages that arrive within `LOOK_S` seconds."""
        if not select.select([self.channel], [], [], LOOK_S)[0]:
            return
        received = b""
        with contextlib.suppress(ConnectionError):
            received = self.channel.recv(1 << 16)
        self.ended = not received
        *lines, self._received = (self._received + received).split(b"\n")
        for message in map(json.loads, lines):
            self._worker = message.get("process", self._worker)
            if "status" in message:
                self._status = message["status"]
                credit(message["cpu_s"])

    def end(self) -> None:
        """End the process and its group."""
        self.ended = True
        end_group(self.process.pid)
        self.process.wait()
        self.channel.close()


class Launcher:
    """Starts, keeps and ends the processes of a run, each under a name.

    Parameters
    ----------
    folder : Path
        Folder for the logs of the processes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers: dict[str, Server] = {}

    def call(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        patience: Callable[[], bool],
        *,
        fork: bool,
    ) -> int | None:
        """Run pytest in the named process, or in a fork of it; return the exit status.

        None means that `patience` returned False and pytest was stopped.

        Parameters
        ----------
        name : str
            Name of the process. It is started if it does not run.
        arguments : sequence of str
            Arguments of pytest.
        environment : mapping
            Environment variables of pytest.
        log : Path
            File for the output of pytest.
        patience : callable
            Returns whether to continue waiting.
        fork : bool
            Whether pytest runs in a fork of the process, which a setup needs.
        """
        if name not in self.servers:
            self.servers[name] = Server(environment, self.folder / "server.log")
        order = {
            "fork": fork,
            "arguments": [*arguments],
            "environment": {**environment},
            "log": str(log),
        }
        status = self.servers[name].call(order, patience)
        if self.servers[name].ended or not (fork or status in GOOD):
            self.end(name)
        return status

    def end(self, name: str) -> None:
        """End a process, if it runs."""
        if name in self.servers:
            self.servers.pop(name).end()

    def end_all(self) -> None:
        """End all processes."""
        for name in [*self.servers]:
            self.end(name)
