"""List the commands that ``nox -s gpu`` runs, with the usual duration of each command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.show.mistake import Mistake

ON_CPU = ("numba:parallel", "numpy:blocked")
ON_GPU = ("torch:analytic", "jax:loop")
"""``nox -s gpu`` measures the backends `ON_CPU` on the CPU and the backends `ON_GPU` on a GPU.

On each device, these backends are the fastest of those that read the rows in every step.
"""

FIRST = "analytic or loop"
"""Value of pytest's option ``-k`` that selects the tests of the backends in `ON_GPU`.

`ON_GPU` is ``torch:analytic`` and ``jax:loop``; their tests run before all other tests.
"""

DESCENT = ("--rows", "1e8", "--iterations", "1000")
"""Options of ``pick`` for a descent of 1000 iterations over 10⁸ rows."""

BRIEF = ("--passes", "1", "--more", "0", "--seconds", "0.1", "--timeout", "60")
"""Options that keep ``run`` short: one pass, and 0.1 s for each case."""


@dataclass(frozen=True)
class Part:
    """A command of ``nox -s gpu``.

    Attributes
    ----------
    title : str
    arguments : sequence of str
        Arguments of the Python interpreter.
    share : float
        Usual duration of the command in seconds. The remaining time of the check is divided
        among the remaining commands in proportion to `share`.
    variables : mapping of str to str
        Additional environment variables of the command.
    """

    title: str
    arguments: Sequence[str]
    share: float
    variables: Mapping[str, str] = field(default_factory=dict)


def run(*arguments: str) -> list[str]:
    """Return the arguments with which Python runs a short ``descentbench run``."""
    return ["-m", "bench", "run", *BRIEF, *arguments]


def tests(*arguments: str) -> list[str]:
    """Return the arguments with which Python runs tests with pytest.

    Pytest stops at the first failure.
    """
    return ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]


def on_gpu(store: Path, device: str = "cuda:0") -> list[Part]:
    """Return the commands of ``nox -s gpu``; they save their results in the folder `store`."""
    backends = [*ON_CPU, *(f"{name}@{device}" for name in ON_GPU)]
    named = [word for name in available(backends) for word in ("--backend", name)]
    stored = ("--store", str(store))
    sizes = {
        "100, 1e4 and 1e6 × 1": ("100 1e4 1e6", "1", 75),
        "1e7 × 1": ("1e7", "1", 30),
        "1e8 × 1": ("1e8", "1", 55),
        "1e6 × 32": ("1e6", "32", 30),
        "1e5 × 1000": ("1e5", "1000", 30),
    }
    contract = ("test_contract.py", "test_contract_of_losses.py")
    files = [f"tests/backends/{name}" for name in contract]
    marked = ("-m", "gpu and not slow", *files)
    alone = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # PyTorch needs memory, too
    return [
        Part("tests of the fastest loops", tests("-k", FIRST, *marked), 50, alone),
        *(
            Part(
                f"steps and setups at {title}",
                run(*named, *listed("--rows", rows), "--features", d, *stored),
                share,
            )
            for title, (rows, d, share) in sizes.items()
        ),
        Part("limit", run("--limit", "--device", device, *stored), 60),
        Part("limit with log_loss", run("--limit", *of_log_loss(device), *stored), 35),
        Part("pick", pick(*DESCENT, *("--device", "cpu", "--device", device), *stored), 75),
        Part("other tests", tests("-k", f"not ({FIRST})", *marked), 20, alone),
    ]


def of_log_loss(device: str) -> list[str]:
    """Return the options of ``run`` for log_loss, with 1, 32 and 128 features.

    The largest size has 1 GB of data.
    """
    names = [word for name in ON_GPU for word in ("--backend", f"{name}@{device}")]
    sizes = ["--rows", "2e6", *listed("--features", "1 32 128")]
    return ["--loss", "log_loss", *names, *sizes]


def rehearsed(store: Path) -> list[Part]:
    """Return the commands that ``nox -s gpu`` runs on the CPU if the machine has no GPU.

    They measure small sizes and save their results in the folder `store`. One of the backends
    runs on a second CPU device of JAX.
    """
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    known = available(["numpy:blocked", "numba:parallel", "jax:loop"], two)
    second = ["jax:loop@cpu:1"] if "jax:loop" in known else []
    named = [word for name in [*known, *second] for word in ("--backend", name)]
    stored = ("--store", str(store))
    small = ("--rows", "1e4", "--iterations", "1000", "--budget", "10")
    kernel = tests("tests/backends/onepass", "-k", "log_loss and not lower and not gpu")
    return [
        Part("kernel tests in Triton's interpreter", kernel, 90),
        Part(
            "steps and setups at 100 and 1e4 × 1",
            run(*named, *listed("--rows", "100 1e4"), "--features", "1", *stored),
            *(90, two),
        ),
        Part(
            "steps and setups at 1000 × 32",
            run(*named, "--rows", "1e3", "--features", "32", *stored),
            *(60, two),
        ),
        Part("limit", run("--limit", *named, "--rows", "1e5", *stored), 45, two),
        Part("pick", pick(*small, *named, *stored), 60, two),
    ]


def pick(*arguments: str) -> list[str]:
    """Return the arguments with which Python runs ``descentbench pick``."""
    return ["-m", "bench", "pick", *arguments]


def listed(option: str, values: str) -> list[str]:
    """Return command-line arguments that repeat an option for several values.

    For example, ``listed("--rows", "1 2")`` returns ``["--rows", "1", "--rows", "2"]``.
    """
    return [word for value in values.split() for word in (option, value)]


def available(names: Sequence[str], variables: Mapping[str, str] | None = None) -> list[str]:
    """Return the backends in `names` that can run on this machine.

    If a backend cannot run, the reason is printed on stderr. If `names` has GPU backends and
    none of them can run, `Mistake` is raised. The parameter `variables` adds environment
    variables to the child process that checks the backends.
    """
    listing = subprocess.run(
        [sys.executable, "-m", "bench", "backends", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    if listing.returncode:
        raise Mistake(f"descentbench backends failed: {listing.stderr.strip()}")
    known = {entry["backend"]: entry for entry in json.loads(listing.stdout)}
    missing = [name for name in names if not known.get(name, {}).get("available")]
    for name in missing:
        reason = known.get(name, {}).get("reason") or "its library sees no such device"
        click.echo(f"descentbench: {name} is left out: {reason}", err=True)
    if any("@" in name for name in names) and not any(
        "@" in n for n in set(names) - {*missing}
    ):
        raise Mistake("no library here can use the GPU")
    return [name for name in names if name not in missing]
