"""Test and measure this machine's GPU in at most eight minutes (``nox -s gpu``).

The command uses what is installed and needs no network. Each part has its own share of the
time; an interrupted part keeps what it measured. Without a GPU, the command rehearses: the
same parts run on the CPU with small sizes, JAX with two CPU devices, and the Triton kernel in
Triton's interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.host.machine import gpus
from bench.results.saved import Saved, folder
from bench.results.summary import NOT_MEASURED, summarise
from bench.show.text import duration

MINUTES = 8.0
"""Time limit for all parts together, in minutes."""

GRACE_S = 10.0
"""Seconds in which an interrupted part may save its results."""

ON_CPU = ("numba:parallel", "numpy:blocked")
ON_GPU = ("torch:analytic", "jax:loop")
"""Backends measured with their setups: the fastest loops of their devices."""

DESCENT = ("--rows", "1e8", "--iterations", "1000")
"""The descent for which the command asks `pick`."""

BRIEF = ("--passes", "1", "--more", "0", "--seconds", "0.1", "--timeout", "60")
"""Sampling of a case: one pass of a tenth of a second."""

OK, CUT, FAILED, LEFT_OUT = "done", "cut short", "failed", "left out"


@dataclass(frozen=True)
class Part:
    """A command, its share of the time, and the variables of its environment.

    Attributes
    ----------
    title : str
    arguments : sequence of str
        Arguments of this Python.
    share : float
        Usual seconds of the part; parts divide the remaining time in proportion to them.
    variables : mapping of str to str
    """

    title: str
    arguments: Sequence[str]
    share: float
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """The end of a part.

    Attributes
    ----------
    title : str
    state : str
        `OK`, `CUT`, `FAILED` or `LEFT_OUT`.
    seconds : float
    remark : str
        What was not done.
    """

    title: str
    state: str
    seconds: float = 0.0
    remark: str = ""

    def line(self) -> str:
        """Return the part's line of the summary."""
        remark = f": {self.remark}" if self.remark else ""
        taken = f" in {duration(self.seconds)}" if self.state != LEFT_OUT else ""
        return f"{self.title}: {self.state}{taken}{remark}"


def run(*arguments: str) -> list[str]:
    """Return the arguments of Python that call ``descentbench run``, briefly."""
    return ["-m", "bench", "run", *BRIEF, *arguments]


def tests(*arguments: str) -> list[str]:
    """Return the arguments of Python that run tests up to the first failure.

    A later interrupt would hide the failure.
    """
    return ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]


def on_gpu(store: Path, device: str = "cuda:0") -> list[Part]:
    """Return the parts on a machine with a GPU."""
    backends = [*ON_CPU, *(f"{name}@{device}" for name in ON_GPU)]
    named = [word for name in available(backends) for word in ("--backend", name)]
    stored = ("--store", str(store))
    sizes = {
        "100, 1e4 and 1e6 × 1": ("100 1e4 1e6", "1", 80),
        "1e7 × 1": ("1e7", "1", 35),
        "1e8 × 1": ("1e8", "1", 60),
        "1e6 × 32": ("1e6", "32", 35),
        "1e5 × 1000": ("1e5", "1000", 35),
    }
    contract = ("test_contract.py", "test_contract_of_losses.py")
    files = [f"tests/backends/{name}" for name in contract]
    return [
        Part("GPU tests", tests("-m", "gpu and not slow", *files), 65),
        *(
            Part(
                f"steps and setups at {title}",
                run(*named, *listed("--rows", rows), "--features", d, *stored),
                share,
            )
            for title, (rows, d, share) in sizes.items()
        ),
        Part("limit", run("--limit", "--device", device, *stored), 60),
        Part("pick", pick(*DESCENT, *("--device", "cpu", "--device", device), *stored), 75),
    ]


def rehearsed(store: Path) -> list[Part]:
    """Return the same parts with small sizes, on the CPU and on JAX's second CPU device."""
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
    """Return the arguments of Python that call ``descentbench pick``."""
    return ["-m", "bench", "pick", *arguments]


def listed(option: str, values: str) -> list[str]:
    """Return the option before each of the values."""
    return [word for value in values.split() for word in (option, value)]


def available(names: Sequence[str], variables: Mapping[str, str] | None = None) -> list[str]:
    """Return the backends that can run here, as a process of its own lists them."""
    listing = subprocess.run(
        [sys.executable, "-m", "bench", "backends", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(variables or {})},
    )
    if listing.returncode:
        raise click.ClickException(f"descentbench backends failed: {listing.stderr.strip()}")
    known = {entry["backend"]: entry for entry in json.loads(listing.stdout)}
    missing = [name for name in names if not known.get(name, {}).get("available")]
    for name in missing:
        reason = known.get(name, {}).get("reason") or "its library sees no such device"
        click.echo(f"descentbench: {name} is left out: {reason}", err=True)
    if any("@" in name for name in names) and not any(
        "@" in n for n in set(names) - {*missing}
    ):
        raise click.ClickException("no library here can use the GPU")
    return [name for name in names if name not in missing]


def call(part: Part, seconds: float) -> tuple[int | None, float]:
    """Run a part; return its exit code and time. Interrupt it after so many seconds.

    The exit code is None if the part was interrupted.
    """
    began = time.monotonic()
    child = subprocess.Popen(  # noqa: S603 the arguments are ours
        [sys.executable, *part.arguments],
        env={**os.environ, **part.variables},
        start_new_session=True,
    )
    code: int | None = None
    try:
        code = child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = 0 if child.wait(GRACE_S) == 0 else None  # it had just ended
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all have ended
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return code, time.monotonic() - began


def each(parts: Sequence[Part], store: Path, seconds: float) -> Iterator[Done]:
    """Run the parts one after the other; yield the end of each."""
    ends = time.monotonic() + seconds
    for i, part in enumerate(parts):
        left = ends - time.monotonic() - GRACE_S
        weight = part.share / sum(p.share for p in parts[i:])
        if left <= 1:
            yield Done(part.title, LEFT_OUT, remark="no time was left")
            continue
        # a part may use its share of what the parts before it left over
        budget = max(1.0, left * weight)
        click.secho(f"\n== {part.title} (at most {duration(budget)})", bold=True)
        before = {saved.path: saved.record for saved in folder(store)}
        code, taken = call(part, budget)
        missing = unmeasured(s for s in folder(store) if before.get(s.path) != s.record)
        if code is None:
            yield Done(part.title, CUT, taken, missing or "what was measured is kept")
        elif code:
            yield Done(
                part.title, FAILED, taken, f"exit code {code}" + f"; {missing}" * bool(missing)
            )
        else:
            yield Done(part.title, OK, taken, missing)


def unmeasured(records: Iterator[Saved]) -> str:
    """Return the cases of new records of ``run`` that were not measured, in words, or ""."""
    new = [saved for saved in records if saved.path.name.startswith("run-")]
    results = [result for saved in new for result in summarise(saved.record)]
    missing = [str(result.case) for result in results if result.reason == NOT_MEASURED]
    if not missing:
        return ""
    return f"not measured: {len(missing)} of {len(results)} cases ({', '.join(missing)})"


def slug(name: str) -> str:
    """Return a device's name as the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "gpu"


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the records.  [default: results/<device name>; of a rehearsal "
    ".benchmarks/rehearsal]",
)
@click.option("--rehearse", is_flag=True, help="Run on the CPU with small sizes.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=MINUTES,
    show_default=True,
    help="Time limit in all.",
)
def main(output: Path | None, rehearse: bool, minutes: float) -> None:
    """Test and measure the GPU within a time limit; exit with 1 if a part failed."""
    began = time.monotonic()
    found = gpus()
    rehearse = rehearse or not found
    if rehearse:
        why = "" if found else " (there is no GPU here)"
        click.echo(f"Rehearsal on the CPU{why}: nothing is measured on a GPU.")
    name = "rehearsal" if rehearse else slug(found[0].name)
    store = output or Path(".benchmarks" if rehearse else "results") / name
    store.mkdir(parents=True, exist_ok=True)
    parts = rehearsed(store) if rehearse else on_gpu(store)
    left = minutes * 60 - (time.monotonic() - began)
    done = []
    try:
        for end in each(parts, store, left):
            done.append(end)
            click.echo(end.line())
    except KeyboardInterrupt:
        click.echo("descentbench: interrupted", err=True)
    click.secho(
        f"\nIn {duration(time.monotonic() - began)}; records are in {store}:", bold=True
    )
    done += [Done(part.title, LEFT_OUT, remark="interrupted") for part in parts[len(done) :]]
    for end in done:
        click.echo(f"- {end.line()}")
    if rehearse:
        click.echo("This was a rehearsal: nothing was measured on a GPU.")
    sys.exit(1 if any(end.state == FAILED for end in done) else 0)


if __name__ == "__main__":
    main()
