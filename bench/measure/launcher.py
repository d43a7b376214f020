"""Keep processes for several tasks of a run, so that each task starts without delay.

Python, pytest, NumPy and the benchmarks take 0.6 s to start, and a library one or more seconds.
One process forks for every cold setup; `bench.measure.forkserver` says why a setup in the fork
is as cold as in a new process. The hot loop of a library and pass has a process of its own for
all sizes, so each pass has an address layout of its own.
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
"""Exit statuses of pytest that mean that all tests ran; its process can take another task."""

KEEP_BYTES = 4 << 30
"""Memory in bytes that must be available, or else a process ends after its task. Up to 20
processes stay, and most of them hold 100 to 400 MB."""

REAP_S = 5.0
"""Longest wait in seconds for the message that a killed fork has ended."""


class Server:
    """A process that takes orders: see `bench.measure.forkserver`.

    Parameters
    ----------
    environment : mapping
        Environment in which the process loads NumPy.
    log : Path
        File for output that the process writes while it carries out no order.
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
        """Carry out an order and return its exit status: see `bench.host.process.call`."""
        self._worker, self._status = self.process.pid, None
        Path(order["log"]).write_bytes(b"")  # is kept if the process does not answer
        try:
            with contextlib.suppress(OSError):  # the process has ended, as `_listen` finds
                self.channel.sendall(f"{json.dumps(order)}\n".encode())
            while patience():
                self._listen()
                if self._status is not None or self.ended:
                    return self.process.wait() if self._status is None else self._status
            return None
        finally:  # after Ctrl-C, too
            if self._worker != self.process.pid:  # a fork, whose own children may still run
                end_group(self._worker)
                deadline = time.monotonic() + REAP_S
                while self._status is None and not self.ended and time.monotonic() < deadline:
                    self._listen()
            if self._status is None:
                self.end()

    def _listen(self) -> None:
        """Take note of the messages that arrive within `LOOK_S`."""
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
    """The processes of a run, by name.

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
        """Run pytest in the named process, or in a fork of it; return its exit status.

        Parameters
        ----------
        name : str
            Name of the process, which is started if it does not run.
        arguments : sequence of str
            Arguments of pytest.
        environment : mapping
        log : Path
            File for the output of pytest.
        patience : callable
            Returns whether to continue waiting.
        fork : bool
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
