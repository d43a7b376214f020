"""Write tables and pictures for the documentation from recorded results.

``nox -s results`` runs this module. It replaces the text between two marker lines in three
pages: ``docs/results.md``, ``docs/losses.md`` and ``README.md``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console, RenderableType

from backends.errors import DescentbenchError
from bench.host.files import write_atomically
from bench.host.machine import LIBRARIES
from bench.report.gpu import section as gpu_section
from bench.report.gpu import sentence
from bench.report.sources import Source, machine_name, sources
from bench.results.case import SQUARED, Case
from bench.results.record import Record
from bench.results.saved import Saved, folder
from bench.results.summary import UNSTABLE, Result, summarise
from bench.show.autograd import is_autograd_cost
from bench.show.formats import markdown_text
from bench.show.mistake import Script
from bench.show.roofline import Data, best_by_library, limits, roofline_table
from bench.show.table import results_table
from bench.show.text import byte_count, count, percent, seconds

OVERVIEW = ((100, 1), (10_000, 1), (1_000_000, 1), (10_000_000, 1), (1_000_000, 32))
"""Sizes in README's table, as pairs of rows and features. They are the default sizes of
``descentbench run``."""

BEGIN, END = "<!-- made by nox -s results: begin -->", "<!-- end -->"
"""Lines in a page before and after the text that ``nox -s results`` replaces."""

SECOND = "log_loss"
"""Loss in README's second table: the most common loss for classification."""

PICTURES = ("scaling", "map")
"""Figures of ``descentbench plot`` that the documentation shows."""


class PageError(DescentbenchError):
    """A page has no lines `BEGIN` and `END`, does not exist, or there are no results for it."""


@click.command(cls=Script)
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--page", type=click.Path(path_type=Path), default=Path("docs/results.md"))
@click.option("--readme", type=click.Path(path_type=Path), default=Path("README.md"))
@click.option("--losses", type=click.Path(path_type=Path), default=Path("docs/losses.md"))
def main(results: Path, page: Path, readme: Path, losses: Path) -> None:
    """Write the tables of README, docs/results.md and docs/losses.md, and the pictures."""
    from bench.report.figure_files import save_all

    found = saved(results)
    newest = newest_whole(found)
    pictures = list(save_all(newest, page.parent / "pictures", ["svg"], PICTURES))
    write_between(readme, readme_tables(found))
    shown = [one for one in found if not is_autograd_cost(one.record)]
    write_between(page, tables(shown, newest, [path.name for path in pictures]))
    for path in (readme, page, *pictures, *write_autograd(found, losses)):
        click.echo(path)


def write_autograd(found: Iterable[Saved], page: Path) -> list[Path]:
    """Write the newest results on the cost of autograd to a page; return the written files.

    The list is empty if there are no such results.
    """
    from bench.report import autograd

    record = next((one.record for one in found if is_autograd_cost(one.record)), None)
    if record is None:
        return []
    picture = autograd.draw(record, page.parent / "pictures" / autograd.PICTURE)
    link = f"pictures/{autograd.PICTURE}"
    write_between(page, autograd.section(record, link, describe(record)))
    return [page, picture]


def saved(results: Path) -> list[Saved]:
    """Return the records in a folder and in its direct subfolders, newest first.

    Raises
    ------
    PageError
        There is no record.
    """
    places = [results, *sorted(path for path in results.glob("*") if path.is_dir())]
    found = [one for place in places for one in folder(place)]
    if not found:
        raise PageError(f"{results} has no results; 'descentbench run --store' measures some")
    return sorted(found, key=lambda one: one.record.created, reverse=True)


def newest_whole(found: Iterable[Saved]) -> Source:
    """Return the newest results on a CPU that include squared error and setup times.

    Raises
    ------
    PageError
        There are no such results.
    """
    whole = [one for one in found if has_setup(one.record) and not on_gpu(one.record)]
    squared = [source for source in sources(whole) if SQUARED in source.losses]
    if not squared:
        raise PageError("no result has setup times on the CPU: 'descentbench run' takes them")
    return squared[0]


def is_limit(record: Record) -> bool:
    """Return whether ``run --limit`` wrote the record. Such a record has no setup times."""
    return not has_setup(record) and not is_autograd_cost(record)


def has_setup(record: Record) -> bool:
    """Return whether the record contains setup times."""
    return bool(record.request.get("setup", True))


def on_gpu(record: Record) -> bool:
    """Return whether a backend of the record used a device other than the CPU."""
    return any("@" in case.split("/")[0] for case in record.request["rows"])


def write_between(path: Path, text: str) -> None:
    """Replace the text between the lines `BEGIN` and `END` of a page.

    Raises
    ------
    PageError
        The page does not have these lines.
    """
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if old.count(BEGIN) != 1 or END not in old.partition(BEGIN)[2]:
        raise PageError(f"{path} has no lines {BEGIN!r} and {END!r} around its tables")
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    write_atomically(path, f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def readme_tables(found: Sequence[Saved]) -> str:
    """Return the part of README that shows results, in Markdown.

    One table has step times for squared error. The other has shares of the read bandwidth for
    log_loss. If a GPU was measured, the last sentence compares it with the CPU.
    """
    limit = next((one.record for one in found if is_readme_limit(one.record)), None)
    second = "" if limit is None else f"\n{shares(limit)}"
    pays = sentence(sources(found))
    return f"{overview(newest_whole(found))}{second}" + (f"\n{pays}\n" if pays else "")


def is_readme_limit(record: Record) -> bool:
    """Return whether README's second table can be made from this record.

    The record must come from ``run --limit --loss log_loss`` on a CPU, with NumPy and Numba.
    """
    of_loss = all(Case.parse(case).loss == SECOND for case in record.request["rows"])
    whole = {"numpy", "numba"} <= {Case.parse(case).library for case in record.request["rows"]}
    return is_limit(record) and not on_gpu(record) and of_loss and whole


def shares(record: Record) -> str:
    """Return a Markdown table with a line for each library and a column for each size.

    A cell has the speed of the library's fastest step, as a share of the read bandwidth.
    """
    best = best_by_library(summarise(record))
    bounds = [limit for limit in limits(record) if limit.bounds]
    lines = [
        [f"`{label}`", *(percent(_share(of.get(limit.data))) for limit in bounds)]
        for label, of in sorted(best.items(), key=lambda item: -_largest_share(item[1]))
    ]
    names = [f"`{SECOND}`", *(_size((limit.rows, limit.features)) for limit in bounds)]
    said = (
        f"Share of the read bandwidth that a step with `{SECOND}` reaches with each library's "
        "best technique (100%: as fast as reading the rows once):"
    )
    return f"{said}\n\n{markdown_text(names, lines)}"


def _share(result: Result | None) -> float | None:
    return result.bandwidth_fraction if result else None


def _largest_share(of: Mapping[Data, Result]) -> float:
    return max((r.bandwidth_fraction or 0.0 for r in of.values()), default=0.0)


def overview(source: Source) -> str:
    """Return README's Markdown table of setup and step times, with a line for each backend."""
    loops = [r for r in source.of_loss(SQUARED) if r.verified and not r.least_squares_only]
    measured = {(r.rows, r.features) for r in loops if r.dtype == "float32"}
    sizes = [size for size in OVERVIEW if size in measured]
    if not sizes:
        raise PageError(f"{source.label}: none of README's sizes was measured")
    largest = max(size for size in sizes if size[1] == sizes[0][1])
    by_backend: dict[str, dict[tuple[int, int], Result]] = {}
    for r in loops:
        if r.dtype == "float32":
            by_backend.setdefault(r.backend, {})[r.rows, r.features] = r
    ordered = sorted(by_backend.items(), key=lambda item: _order(item[1].get(largest)))
    lines = [
        [f"`{backend}`", _setup(of.get(largest)), *(_step(of.get(size)) for size in sizes)]
        for backend, of in ordered
    ]
    lines.append(["reading once", "", *_reads(source, sizes)])
    names = ["backend", f"setup, {_size(largest)}", *map(_size, sizes)]
    where = f"float32; {machine_name(source.machine)}; {_when(source.records[-1])}"
    if any(cell.startswith("~") for line in lines for cell in line):
        where += f"; ~: the 95% interval is wider than ±{UNSTABLE:.0%}"
    return f"{markdown_text(names, lines)}\n({where}.)\n"


def _order(result: Result | None) -> float:
    return result.step_s.median if result and result.step_s else float("inf")


def _size(size: tuple[int, int]) -> str:
    return f"{count(size[0])} × {size[1]}"


def _setup(result: Result | None) -> str:
    parts = (result.place_s, result.first_call_s) if result else (None,)
    known = [part for part in parts if part is not None]
    if result is None or len(known) < len(parts):
        return "–"
    return seconds((result.import_s or 0.0) + sum(known), 2)


def _step(result: Result | None) -> str:
    if result is None or result.step_s is None:
        return "–"
    return f"{'~' if result.unstable else ''}{seconds(result.step_s.median, 2)}"


def _reads(source: Source, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """Return the read time of each size as text; "–" for small data or an unmeasured read."""
    known = {
        (limit.rows, limit.features): limit.read_s
        for record in source.records
        for limit in limits(record)
        if limit.dtype == "float32" and limit.bounds and limit.read_s is not None
    }
    return [seconds(known.get(size), 2) for size in sizes]


def tables(found: Iterable[Saved], newest: Source, pictures: Iterable[str]) -> str:
    """Return the text for docs/results.md: pictures, a section about GPUs, all tables.

    The pictures show the newest results. Each run has a table.
    """
    found = list(found)
    images = "\n".join(map(_image, pictures))
    drawn = f"## Pictures\n\n{describe(newest.records[-1])}\n\n{images}\n"
    runs = [one for one in found if not one.path.name.startswith("pick-")]
    return "\n".join([drawn, *gpu_section(sources(found)), *map(_record, runs)])


def _image(name: str) -> str:
    kind, features, *data = name.removesuffix(".svg").split("-", 3)
    alt = {"scaling": "Seconds a step against rows", "map": "The fastest loop, setup included"}
    return f"![{alt[kind]}; features: {features}, {', '.join(data)}](pictures/{name})"


def _record(one: Saved) -> str:
    record, title = one.record, one.record.name or one.path.stem
    what = "the roofline" if is_limit(record) else "all backends"
    losses = sorted({Case.parse(case).loss for case in record.request["rows"]} - {SQUARED})
    what = ", ".join([what, *losses])
    results = summarise(record)
    if is_limit(record):
        shown = roofline_table(results, limits(record))
    else:
        shown = results_table(results)
    return f"## {title}: {what}\n\n{describe(record)}\n\n```text\n{_text(shown)}\n```\n"


def _text(shown: RenderableType) -> str:
    """Return a table as text that fits a terminal of 80 columns."""
    out = io.StringIO()
    Console(file=out, width=80, highlight=False, color_system=None).print(shown)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n")


def describe(record: Record) -> str:
    """Return a line with the machine, the versions, the revision and the date of a record."""
    machine = record.machine
    caches = ", ".join(f"{level} {byte_count(n, 2)}" for level, n in machine["caches"].items())
    memory = byte_count(machine["memory_bytes"], 2)
    versions = ", ".join(f"{name} {version}" for name, version in _known(machine))
    return (
        f"{machine_name(machine)}, caches {caches}, memory {memory}; "
        f"Python {machine['python']}, {versions}; {_when(record)}; "
        f"passes: {record.request.get('passes', 'unknown')}."
    )


def _known(machine: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the name and the version of each library. Other packages are left out."""
    versions = machine["versions"]
    return [(name, versions[name]) for name in LIBRARIES if name in versions]


def _when(record: Record) -> str:
    revision = record.revision.partition("-")[0][:9] or record.code
    return f"measured {record.created[:10]} at revision {revision}"


if __name__ == "__main__":
    main()
