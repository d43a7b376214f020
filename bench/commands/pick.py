"""``descentbench pick``: which backend for these data, on this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.data_options import DataFile, data_options
from bench.commands.options import (
    Format,
    byte_size,
    count,
    format_options,
    positive,
    store_option,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.rows.source import Source
    from bench.pick.exchange import Machines
    from bench.pick.explorer import Explorer
    from bench.pick.recommend import Answer
    from bench.results.record import Record


@click.command()
@click.option("--rows", "-n", type=count, help="Rows, such as 1e9.")
@click.option("--features", type=count, help="Features.  [default: 1]")
@click.option(
    "--iterations", "-k", type=count, default="1000", show_default=True, help="Steps to take."
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float32",
    show_default=True,
)
@data_options
@click.option(
    "--backend",
    "-b",
    multiple=True,
    default=("*",),
    metavar="NAME",
    help="Name or pattern to choose from; may be given often.  [default: all]",
)
@click.option(
    "--device",
    "-d",
    multiple=True,
    metavar="DEVICE",
    help="Only on this device; may be given often.",
)
@click.option(
    "--loop-only",
    is_flag=True,
    help="Leave out gram, which works with least squares alone.",
)
@click.option(
    "--memory", type=byte_size, help="May use so much, such as 64GB.  [default: what is free]"
)
@click.option(
    "--budget",
    type=positive,
    default="60",
    show_default=True,
    help="Seconds to measure, at the most.",
)
@click.option("--fresh", is_flag=True, help="Measure anew instead of from the store.")
@click.option(
    "--verify",
    is_flag=True,
    help="Measure held-out sizes, too, and print how far off the predictions were.",
)
@click.option(
    "--threads",
    type=count,
    help="Threads for every library.  [default: the CPUs this process may use]",
)
@store_option
@format_options
def pick(
    rows: int | None,
    features: int | None,
    iterations: int,
    dtype: str,
    data: DataFile | None,
    backend: tuple[str, ...],
    device: tuple[str, ...],
    loop_only: bool,
    memory: int | None,
    budget: float,
    fresh: bool,
    verify: bool,
    threads: int | None,
    store: Path,
    output_format: Format,
) -> None:
    """Say which backend to use for so many rows, features and iterations.

    Measures a ladder of sizes here, within the budget, and predicts what your
    descent takes; what was measured before is reused. Rows may be more than
    this machine holds: then the answer is an extrapolation, and says so.

    \b
    Examples:
      descentbench pick --rows 1e7 --iterations 1000
      descentbench pick --rows 1e9 --features 32 --iterations 100 --loop-only
      descentbench pick --data houses.csv --x area,rooms --y price
    """
    from bench.host.threads import apply

    threads = apply(threads)
    source: Source | None = None
    if data is not None:
        if rows or features:
            raise click.UsageError("--data has rows and features of its own")
        source = data.open(dtype)
        rows, features = source.rows, source.features
    if rows is None:
        raise click.UsageError("--rows is missing: for how many? (or --data FILE)")

    from backends.names import libraries
    from bench.host.limits import available_bytes
    from bench.host.lock import hold_when_asked
    from bench.host.machine import describe
    from bench.measure.version import code_version
    from bench.pick.explorer import Explorer
    from bench.pick.observations import alike
    from bench.pick.recommend import Request

    machine, code = describe(threads), code_version()
    gpus = {
        f"cuda:{i}": gpu.memory_bytes for i, gpu in enumerate(machine.gpus) if gpu.memory_bytes
    }
    request = Request(
        rows,
        features or 1,
        iterations,
        dtype,
        {"cpu": memory or available_bytes(), **gpus},
        loop_only,
    )
    known = [] if fresh else alike(store, machine.as_dict(), code)
    asked = {
        "backends": list(backend),
        "devices": list(device),
        "libraries": sorted(libraries()),
    }
    names, missing = _names(known, asked, loop_only)
    with hold_when_asked(store) as claim:
        explorer = Explorer(
            request,
            names,
            threads,
            machine.as_dict(),
            code,
            store,
            known,
            budget,
            may_use=available_bytes(),
            asked=asked,
            missing=missing,
            claim=claim,
        )
        ended = _explore(explorer)
        _answer(explorer, ended, verify, output_format, source)


def _names(
    known: list[Record], asked: dict[str, list[str]], loop_only: bool
) -> tuple[list[str], dict[str, str]]:
    """Return the backends to choose from, and why others cannot run here.

    They are those of an earlier pick that chose alike, if there is one.

    To find out what runs here imports every library, which takes seconds; that
    machine, versions and code are the same is known of such a pick.
    """
    from backends import catalogue
    from backends.names import Name

    for record in known:
        earlier = record.request.get("pick", {})
        if {**asked, "loop_only": loop_only}.items() <= earlier.items():
            return list(earlier["names"]), dict(earlier.get("missing", {}))
    devices = asked["devices"]
    names = catalogue.select(asked["backends"], devices)
    missing = catalogue.unavailable(asked["backends"])
    if asked["backends"] == ["*"]:  # on one machine they can but lose; see bench.pick.exchange
        names = [name for name in names if not name.distributed]
        missing = {b: why for b, why in missing.items() if not Name.parse(b).distributed}
    if devices:
        missing = {b: why for b, why in missing.items() if Name.parse(b).device in devices}
    if loop_only:
        names = [name for name in names if not name.least_squares_only]
        if not names:
            raise click.UsageError("--loop-only leaves nothing to choose from")
        missing = {b: why for b, why in missing.items() if not Name.parse(b).least_squares_only}
    return [str(name) for name in names], missing


def _explore(explorer: Explorer) -> str:
    """Measure under a progress bar on stderr; return why it ended early, if it did."""
    from rich.progress import BarColumn, Progress, TextColumn

    from bench.show.table import console

    err = console(stderr=True)
    layout = (
        *(TextColumn("measuring"), BarColumn(bar_width=20)),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}"),
    )
    with Progress(
        *layout, console=err, transient=True, disable=not err.is_terminal
    ) as progress:
        bar = progress.add_task("", total=1.0, left="")
        explorer.report = _reporter(progress.update, bar, explorer.budget)
        try:
            explorer.run()
        except KeyboardInterrupt:
            return "Interrupted: this is the answer from what had been measured by then."
    return ""


def _reporter(
    update: Callable[..., None], bar: object, budget: float
) -> Callable[[str, float], None]:
    def report(what: str, share: float) -> None:
        left = f"at most {max(0.0, (1 - share) * budget):.0f} s left"
        update(bar, completed=share, description=what, left=left)

    return report


def _machines(explorer: Explorer, answer: Answer) -> Machines | None:
    """Return what several machines would take, where one is not enough or takes long."""
    from bench.pick import exchange as machines

    if answer.loop_pick is None:
        return None
    model, request = explorer.models[answer.loop_pick], explorer.request
    if not machines.wanted(model, request, fits=answer.fits) or not machines.installed():
        return None
    machines.measure_exchange(explorer)
    exchange = machines.exchange_s(explorer.records, request)
    return None if exchange is None else machines.across(model, request, exchange)


def _streamed(explorer: Explorer, answer: Answer, source: Source | None) -> str:
    """Say what it takes to read the rows anew for every step, where they do not fit."""
    from backends import open_backend
    from backends.rows.streamed import Streamed
    from bench.measure.verify import LEARNING_RATE
    from bench.show.text import duration, plural

    if source is None or answer.loop_pick is None:
        return (
            "Here it can be done by reading the rows anew for every step: 'descentbench fit "
            "--data FILE' does so, and 'pick --data FILE' says how long that takes."
        )
    backend = open_backend(answer.loop_pick)
    a_pass = Streamed(backend, source, LEARNING_RATE).seconds_a_pass()
    iterations = explorer.request.iterations
    return (
        f"Here, reading the file anew for every step, {backend.name} takes about "
        f"{duration(a_pass)} a pass: {plural(iterations, 'iteration')} in "
        f"{duration(iterations * a_pass)} (descentbench fit --data). A gram backend needs one."
    )


def _answer(
    explorer: Explorer,
    ended: str,
    verify: bool,
    output_format: Format,
    source: Source | None,
) -> None:
    from bench.host.noise import noticed
    from bench.pick.answer import answer_markdown, answer_page, notes, pace_note, sentence
    from bench.pick.exchange import sentences
    from bench.pick.observations import age, fractions, noises
    from bench.pick.recommend import recommend
    from bench.show.formats import csv_text, flat
    from bench.show.table import console

    models = list(explorer.models.values())
    shape = explorer.request.features, explorer.request.dtype
    shares = fractions(explorer.records, *shape)
    answer = recommend(models, explorer.request, explorer.unmeasured(), shares)
    remarks = notes(answer, age(explorer.known, explorer.record), explorer.dropped, ended)
    if answer.pick:
        remarks += pace_note(explorer.pace)
    if answer.pick and not answer.fits and not ended:
        remarks.append(_streamed(explorer, answer, source))
    several = None if ended else _machines(explorer, answer)
    if several:
        remarks += sentences(several, explorer.request)
    checked = None
    if verify and answer.pick and not ended:
        from bench.pick.verification import measure_held_out

        checked = measure_held_out(explorer)
        if checked is None:
            remarks.append("Nothing was checked: every held-out size of the pick failed.")
    disturbed = noticed(noises(explorer.records, *shape))
    if output_format == "json":
        request = explorer.record.request["pick"] | {
            "memory_bytes": dict(explorer.request.memory_bytes),
        }
        print_json(
            {
                "schema": explorer.record.schema,
                "machine": dict(explorer.machine),
                "request": request,
                "pick": answer.pick,
                "loop_pick": answer.loop_pick,
                "tied": list(answer.tied),
                "fits": answer.fits,
                "why": " ".join([sentence(answer), *remarks]),
                "backends": [c.as_dict() for c in answer.candidates],
                "crossovers": [x.as_dict() for x in answer.crossovers],
                "machines": several.as_dict() if several else None,
                "verification": checked.as_dict() if checked else None,
                "noise": disturbed,
            }
        )
    elif output_format == "csv":
        click.echo(csv_text([flat(c.as_dict()) for c in answer.candidates]), nl=False)
    elif output_format == "markdown":
        click.echo(answer_markdown(answer, remarks), nl=False)
    else:
        out = console()
        out.print(answer_page(answer, remarks))
        for line in disturbed:
            out.print(f"noise: {line}", style="yellow")
        if checked:
            out.print(checked.page())
    failed = any(m.observations.failure for m in models)
    if ended:
        sys.exit(130)
    if failed or answer.pick is None or (verify and not (checked and checked.good)):
        sys.exit(1)
