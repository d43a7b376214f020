"""Test and measure this machine's GPU in at most eight minutes (``nox -s gpu``).

The check runs several commands, such as tests and ``descentbench run``. Each command is a part
of the check and has its own time limit. The measurements of an interrupted part are kept. The
check uses the installed libraries and needs no network.

Without a GPU, the check is only rehearsed: similar commands run on the CPU with small sizes.
JAX then has two CPU devices, and the Triton kernel runs in Triton's interpreter.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from bench.checks.gpu_parts import Part, on_gpu, rehearsed
from bench.host.interrupts import exit_code
from bench.host.machine import gpus
from bench.results.saved import Saved, folder
from bench.results.summary import NOT_MEASURED, summarise
from bench.show.mistake import Script
from bench.show.text import duration

MINUTES = 8.0
"""Time limit for the whole check, in minutes."""

GRACE_S = 10.0
"""Seconds that an interrupted command has to save its results."""

OK, CUT, FAILED, LEFT_OUT = "done", "cut short", "failed", "left out"
"""Possible values of `Done.state`."""


@dataclass(frozen=True)
class Done:
    """The result of one command of ``nox -s gpu``.

    Attributes
    ----------
    title : str
    state : str
        `OK`, `CUT` (ended by the time limit), `FAILED` or `LEFT_OUT` (not started).
    seconds : float
    remark : str
        Why the command failed, or what was not measured; empty if there is nothing to say.
    """

    title: str
    state: str
    seconds: float = 0.0
    remark: str = ""

    def line(self) -> str:
        """Return the result as one line of text."""
        remark = f": {self.remark}" if self.remark else ""
        taken = f" in {duration(self.seconds)}" if self.state != LEFT_OUT else ""
        return f"{self.title}: {self.state}{taken}{remark}"


def call(part: Part, seconds: float) -> tuple[int | None, float]:
    """Run a part as a child process, and interrupt it after `seconds`.

    Return the exit code and the time in seconds. The exit code is None if the interrupt ended
    the part before its work was complete.
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
            code = 0 if child.wait(GRACE_S) == 0 else None  # 0: the part was complete
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # all processes ended
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return code, time.monotonic() - began


def each(parts: Sequence[Part], store: Path, seconds: float) -> Iterator[Done]:
    """Run the parts of the check one after the other; yield how each part ended.

    All parts together take at most about `seconds`.
    """
    ends = time.monotonic() + seconds
    for i, part in enumerate(parts):
        left = ends - time.monotonic() - GRACE_S
        weight = part.share / sum(p.share for p in parts[i:])
        if left <= 1:
            yield Done(part.title, LEFT_OUT, remark="no time was left")
            continue
        # a part also gets its share of the time that earlier parts left over
        budget = max(1.0, left * weight)
        click.secho(f"\n== {part.title} (at most {duration(budget)})", bold=True)
        before = {saved.path: saved.record for saved in folder(store)}
        code, taken = call(part, budget)
        missing = unmeasured(s for s in folder(store) if before.get(s.path) != s.record)
        if code is None:
            kept = (
                "some tests did not run" if "pytest" in part.arguments else "results are kept"
            )
            yield Done(part.title, CUT, taken, missing or kept)
        elif code:
            yield Done(
                part.title, FAILED, taken, f"exit code {code}" + f"; {missing}" * bool(missing)
            )
        else:
            yield Done(part.title, OK, taken, missing)


def unmeasured(records: Iterator[Saved]) -> str:
    """Return a text that names the cases that ``descentbench run`` did not measure.

    The text is empty if all cases were measured.
    """
    new = [saved for saved in records if saved.path.name.startswith("run-")]
    results = [result for saved in new for result in summarise(saved.record)]
    missing = [str(result.case) for result in results if result.reason == NOT_MEASURED]
    if not missing:
        return ""
    return f"not measured: {len(missing)} of {len(results)} cases ({', '.join(missing)})"


def slug(name: str) -> str:
    """Return a device's name in a form that can be the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "gpu"


@click.command(cls=Script)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the records.  [default: results/<device name>; in a rehearsal "
    ".benchmarks/rehearsal]",
)
@click.option("--rehearse", is_flag=True, help="Run on the CPU with small sizes.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=MINUTES,
    show_default=True,
    help="Time limit for all parts together, in minutes.",
)
def main(output: Path | None, rehearse: bool, minutes: float) -> None:
    """Test and measure the GPU within a time limit.

    The exit code is 1 if a part failed, and 130 after Ctrl-C.
    """
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
    code = 0
    try:
        for end in each(parts, store, left):
            done.append(end)
            click.echo(end.line())
    except KeyboardInterrupt as interrupt:
        click.echo("descentbench: interrupted", err=True)
        code = exit_code(interrupt)
    click.secho(
        f"\nIn {duration(time.monotonic() - began)}; records are in {store}:", bold=True
    )
    done += [Done(part.title, LEFT_OUT, remark="interrupted") for part in parts[len(done) :]]
    for end in done:
        click.echo(f"- {end.line()}")
    if rehearse:
        click.echo("This was a rehearsal: nothing was measured on a GPU.")
    sys.exit(code or int(any(end.state == FAILED for end in done)))


if __name__ == "__main__":
    main()
