"""Check the libraries of the backends, each in a process of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from backends.catalogue import devices, open_backend
from backends.child import answer
from backends.names import Library, Name, libraries
from backends.synthetic import generate
from bench.doctor.finding import Finding
from bench.doctor.software import OVERRIDES
from bench.host.machine import thread_pools
from bench.measure.verify import LEARNING_RATE

LIBRARY_SECONDS = 120.0
"""Time limit, in seconds, for loading a library and computing one gradient step.

JAX, for example, needs about 5 seconds.
"""


def library_findings(library: Library) -> Iterator[Finding]:
    """Check a library in a child process; yield findings about the library.

    The child process loads the library and computes one gradient step.
    """
    done = _told(library, os.environ)
    if isinstance(done, dict):
        yield from judge(library, done)
    elif f"not installed: {library.install}" in done:
        yield Finding(library.name, "not installed", "note", library.install)
    elif cause := _cause(library):
        setting = f"{cause}={os.environ[cause]}"
        mend = f"unset {cause}, or give it a value that fits this machine"
        yield Finding(library.name, f"does not run with {setting}: {done}", "bad", mend)
    else:
        yield Finding(library.name, done, "bad", library.install)


def _cause(library: Library) -> str:
    """Return the name of an environment variable that prevents the library from running.

    For each variable of `OVERRIDES` that is set, the check is repeated without this variable.
    The result is "" if the check fails each time.
    """
    for name in (name for name in OVERRIDES if name in os.environ):
        without = {key: value for key, value in os.environ.items() if key != name}
        if isinstance(_told(library, without), dict):
            return name
    return ""


def _told(library: Library, environment: Mapping[str, str]) -> dict[str, Any] | str:
    """Check the library in a child process; return the facts that the function `tell` prints.

    If the check fails, return the reason as a string.
    """
    code = f"from bench.doctor.libraries import tell; tell({library.name!r})"
    return answer(code, environment=environment, seconds=LIBRARY_SECONDS, does="taken a step")


def judge(library: Library, told: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield findings about a library from `told`, the facts that the function `tell` prints.

    The findings cover the version, the devices, Numba's threads and NumPy's BLAS.
    """
    if not told["devices"]:
        reasons = ", ".join(f"{device}: {why}" for device, why in told["unusable"].items())
        yield Finding(
            library.name, f"{told['version']}, but no device can be used: {reasons}", "note"
        )
        return
    yield Finding(library.name, f"{told['version']} on {', '.join(told['devices'])}")
    pools = {pool["user_api"]: pool for pool in told["pools"]}
    if layer := pools.get("numba"):
        slow = layer["internal_api"] == "workqueue"
        yield Finding(
            f"{library.name}'s threads",
            f"{layer['num_threads']} of {layer['internal_api']}"
            + (", which is slow and not thread-safe" if slow else ""),
            "bad" if slow else "good",
            "apt-get install libgomp1, or pip install tbb" if slow else "",
        )
    if library.name != "numpy":
        return  # the process of another library loads NumPy's BLAS, too
    if blas := pools.get("blas"):
        core = f" for {blas['architecture']}" if blas.get("architecture") else ""
        found = f"{blas['internal_api']}{core}, {blas['num_threads']} threads"
        yield Finding("numpy's BLAS", found)
    else:
        mend = "install NumPy from PyPI or conda-forge, which bring OpenBLAS"
        yield Finding("numpy's BLAS", "none found: matrix products may be slow", "bad", mend)


def tell(name: str) -> None:
    """Compute one gradient step with the library `name`; print facts about the library as JSON.

    The facts are the library's version, devices and thread pools.
    """
    from bench.host.threads import apply

    apply()
    try:
        told = _step_and_look(libraries()[name])
    except Exception as error:
        sys.exit(next(iter(str(error).strip().splitlines()), type(error).__name__))
    print(json.dumps(told))  # noqa: T201


def _step_and_look(library: Library) -> dict[str, Any]:
    """Compute a gradient step on the first usable device; return facts about the library."""
    technique = "parallel" if "parallel" in library.techniques else ""
    listed = devices(library, technique)
    usable = [device for device, reason in listed.items() if not reason]
    if usable:
        problem = generate(1_000_000)  # with fewer rows, a library may start only one thread
        backend = open_backend(Name(library.name, technique, usable[0]))
        backend.place(problem, LEARNING_RATE).run([0.0], 1)
    version = str(getattr(sys.modules[library.imports], "__version__", ""))
    unusable = {device: reason for device, reason in listed.items() if reason}
    pools = thread_pools()
    return {"version": version, "devices": usable, "unusable": unusable, "pools": pools}
