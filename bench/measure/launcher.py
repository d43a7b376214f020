"""Keep child processes alive for several tasks of a run, so that each task starts quickly.

A new process needs 0.6 s to start Python, pytest, NumPy and the benchmarks. Importing a library
takes another second or more.

- One process serves all measurements of setup times (import a library, place the data, compile
  code). Each measurement runs in a fork of this process. Forking is quick, and the fork
  has not imported a library such as JAX yet; see `bench.measure.forkserver`.
- A run times the steps of all cases several times. Each such pass starts one process for each
  library, which stays alive for all sizes of the pass.
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
"""A process ends after its task if fewer bytes of memory than this are free: 4 GiB. Otherwise
up to 20 processes stay alive, most of them with 100 to 400 MB."""

REAP_S = 5.0
"""Time limit in seconds for waiting until a killed fork has ended."""


class Server:
    """A child process that runs `bench.measure.forkserver`.

    Parameters
    ----------
    environment : mapping
        Environment variables at the start of the process.
    log : Path
        File for the output of the process. Each call of pytest has a log file of its own.
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
        """Let the process run pytest once; return the exit status of pytest.

        Parameters
        ----------
        order : dict
            Arguments, environment variables and log file of pytest, and whether pytest runs in
            a fork of the process.
        patience : callable
            Returns whether to continue waiting. After False, pytest is killed, and the result
            is None.
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
        """Wait at most `LOOK_S` seconds for messages of the process; store their content."""
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
        """Run pytest in the process `name`, or in a fork of it; return the exit status.

        Parameters
        ----------
        name : str
            Name of the process. The process is started if it does not run.
        arguments : sequence of str
            Arguments of pytest.
        environment : mapping
            Environment variables of pytest.
        log : Path
            File for the output of pytest.
        patience : callable
            Returns whether to continue waiting. After False, pytest is killed, and the result
            is None.
        fork : bool
            Whether pytest runs in a fork of the process `name`. Setup times are
            measured in a fork, because a fork has not imported libraries such as JAX yet.
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
        """End all processes that this launcher keeps."""
        for name in [*self.servers]:
            self.end(name)
