"""Connect to a Dask cluster, or start one on this machine.

If the environment variable `DASK_SCHEDULER_ADDRESS` is set, it names the scheduler of an
existing cluster. Otherwise workers are started on this machine (the embedded cluster). These
workers end with this process. `DESCENTBENCH_WORKERS` sets the number of workers, and
`DESCENTBENCH_WORKER_MEMORY` sets the memory of each worker in bytes.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import platform
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.system import MEMORY_LIMIT

from backends.errors import BackendError, DescentbenchError

SCHEDULER, WORKERS, MEMORY = (
    "DASK_SCHEDULER_ADDRESS",
    "DESCENTBENCH_WORKERS",
    "DESCENTBENCH_WORKER_MEMORY",
)

ANY_PORT = "127.0.0.1:0"
"""Address of the scheduler's dashboard. Port 0 means any free port."""

QUIET = {
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.profile.enabled": False,
}
"""Settings that make Dask monitor its workers less often. With Dask's defaults, monitoring
takes 5 % of a step if the workers keep all processors busy."""

MOST_WORKERS = 4
"""Largest default number of workers of an embedded cluster. Each worker uses several threads,
so a few workers use all processors."""

CONNECT_SECONDS = 10.0
"""Longest wait in seconds for the scheduler, and then again for the first worker."""

RESTART_SECONDS = 10.0
"""Longest wait in seconds for a new worker after all workers were lost. If no worker comes
within this time, the descent fails."""

ENOUGH_SECONDS = 5.0
"""Longest wait in seconds for the replacement of a lost worker while other workers are left.
After this time, the descent continues with fewer workers. Dask restarts a worker in about
2 s."""

COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""Environment variables that set the number of threads of libraries on a worker."""

Worker = str
"""Address of a worker, such as ``tcp://10.0.0.2:40331``."""


class WorkerLostError(Exception):
    """A worker, or the connection to a worker, went away."""


class _Client(Client):
    """A Dask client that closes itself at once if it cannot connect.

    Otherwise the garbage collector would close the client later, and the process could hang.
    """

    def start(self, **kwargs: Any) -> None:
        try:
            super().start(**kwargs)  # type: ignore[no-untyped-call]
        except BaseException:
            self.close()
            raise


@cache
def connect() -> Client:
    """Return the Dask client; the first call connects to a cluster or starts one.

    Raises
    ------
    BackendError
        The scheduler does not answer, or has no worker after `CONNECT_SECONDS`.
    """
    address = os.environ.get(SCHEDULER)
    client = _connect_to(address) if address else _Client(_embedded())
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        none, mend = (
            (f"the scheduler at {address} has no worker", f"start one: dask worker {address}")
            if address
            else ("no Dask worker started on this machine", "try again with less load")
        )
        raise BackendError(f"{none} after {CONNECT_SECONDS:g} s; {mend}") from None
    atexit.register(close)
    return client


def close() -> None:
    """Close the client, if there is one, and stop the workers that this process started."""
    if not connect.cache_info().currsize:
        return
    client = connect()
    connect.cache_clear()
    with contextlib.suppress(Exception):  # a part of the cluster may be gone already
        if client.cluster is not None:
            client.cluster.close(timeout=5)
        client.close(timeout=5)


def _connect_to(address: str) -> Client:
    try:
        return _Client(address, timeout=CONNECT_SECONDS)
    except OSError as error:  # or its subclass TimeoutError
        raise BackendError(
            f"no Dask scheduler answers at {address}: {_line(error)}; start one: dask scheduler"
        ) from None
    except (AssertionError, ImportError, TypeError, ValueError) as error:
        raise BackendError(
            f"{address} is no address of a Dask scheduler: {_line(error)}; "
            "give one such as tcp://host:8786"
        ) from None


def _embedded() -> LocalCluster:
    """Start workers on this machine; each worker is a process with its part of the CPUs."""
    count = _whole(WORKERS) or min(CPU_COUNT, MOST_WORKERS)
    threads = max(1, CPU_COUNT // count)
    logging.getLogger("distributed").setLevel(
        logging.CRITICAL
    )  # our errors report lost workers
    # By default Dask limits every library to one thread.
    environment = dict.fromkeys(COUNTS, str(threads))
    with dask.config.set(QUIET | {"distributed.nanny.pre-spawn-environ": environment}):
        return LocalCluster(
            n_workers=count,
            threads_per_worker=threads,
            memory_limit=_whole(MEMORY) or "auto",
            dashboard_address=ANY_PORT,
        )


def _whole(name: str) -> int | None:
    """Return the positive whole number in an environment variable; None if it is not set."""
    text = os.environ.get(name)
    if text is None:
        return None
    if not (text.isdecimal() and int(text)):
        raise BackendError(f"{name}={text}: give a whole number of at least 1, or unset it")
    return int(text)


def workers(client: Client) -> dict[Worker, dict[str, Any]]:
    """Return each worker's number of threads and memory in bytes, sorted by address."""

    def known(dask_scheduler: Any) -> dict[Worker, dict[str, Any]]:
        return {
            address: {
                "threads": state.nthreads,
                "memory_bytes": state.memory_limit or MEMORY_LIMIT,  # 0: not limited
            }
            for address, state in dask_scheduler.workers.items()
        }

    try:
        return dict(sorted(client.run_on_scheduler(known).items()))
    except Exception as error:  # a broken connection may raise anything
        raise BackendError(f"the Dask scheduler is gone: {_line(error)}") from error


def wait_again(client: Client, before: int) -> None:
    """Wait until there are as many workers as before a worker was lost.

    The parameter `before` is this number of workers. If at least one worker is left, the wait
    lasts at most `ENOUGH_SECONDS`. If no worker is left, the wait lasts at most
    `RESTART_SECONDS`.

    Raises
    ------
    BackendError
        There is still no worker after `RESTART_SECONDS`.
    """
    began = time.monotonic()
    while (there := len(workers(client))) < before:
        waited = time.monotonic() - began
        if there and waited > ENOUGH_SECONDS:
            return
        if waited > RESTART_SECONDS:
            raise BackendError(f"all workers are gone, and none came back in {waited:.0f} s")
        time.sleep(0.2)


def check_versions(client: Client, library: str, among: Sequence[Worker]) -> None:
    """Raise BackendError if a worker and this process have different package versions."""
    mine = versions(library)
    found = client.run(versions, library, workers=list(among), on_error="return")
    for address, theirs in found.items():
        if isinstance(theirs, Exception):
            raise BackendError(
                f"worker {address} cannot run {library} ({_line(theirs)}); install "
                f"descentbench and {library} there, the same versions as here"
            )
        for name, value in mine.items():
            if theirs[name] != value:
                raise BackendError(
                    f"worker {address} has {name} {theirs[name]}, this process {value}; "
                    "install the same version"
                )


def versions(library: str) -> dict[str, str]:
    """Return the versions of Python and the packages that must be equal on all workers."""
    packages = dict.fromkeys(("descentbench", "distributed", "numpy", library))
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in packages}


def results(client: Client, futures: dict[Worker, Any]) -> dict[Worker, Any]:
    """Wait for one future of each worker; return a dictionary from address to result.

    Raises
    ------
    WorkerLostError
        A worker went away, or lost its connection to the other workers.
    DescentbenchError
        The call failed on a worker.
    """
    found = {}
    for address, future in futures.items():
        while address not in found:
            try:
                found[address] = future.result(timeout=1)
            except TimeoutError:
                if lost := futures.keys() - workers(client).keys():
                    raise WorkerLostError(", ".join(lost)) from None
            except DescentbenchError as error:
                raise type(error)(f"worker {address}: {error}") from error
            except (OSError, RuntimeError) as error:  # Dask and gloo raise RuntimeError
                raise WorkerLostError(f"{address}: {_line(error)}") from error
            except Exception as error:  # a kernel on a worker may raise anything
                kind = type(error).__name__
                raise BackendError(f"worker {address}: {kind}: {_line(error)}") from error
    return found


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
