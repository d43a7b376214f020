"""Write the gallery: a list of all recorded machines, and one report of all machines.

``nox -s results`` runs this module. It reads the records in ``results/``. It writes the report
to ``docs/gallery/index.html``, and the list to ``docs/gallery/README.md``.
"""

from __future__ import annotations

from pathlib import Path

import click

from bench.host.files import write_atomically
from bench.report.findings import Best, bests, other_losses, sentences
from bench.report.page import write
from bench.report.results_page import saved
from bench.report.sources import Source, sources
from bench.show.formats import markdown_text
from bench.show.mistake import Script
from bench.show.text import byte_count, percent, plural, seconds, times

HEADINGS = ("rows × features", "fastest", "a step", "× NumPy", "of limit")

INTRODUCTION = """# Gallery

This page lists every machine with results in `results/`. The report [index.html](index.html)
shows all machines side by side, with a calculator. The report is one file and works offline:
download it and open it in a browser. `nox -s results` writes both pages.
"""


@click.command(cls=Script)
@click.option("--results", type=click.Path(path_type=Path), default=Path("results"))
@click.option("--folder", type=click.Path(path_type=Path), default=Path("docs/gallery"))
def main(results: Path, folder: Path) -> None:
    """Write the two files of the gallery: README.md and index.html."""
    found = sources(saved(results))
    write(folder / "index.html", found)
    write_atomically(folder / "README.md", listing(found))
    for name in ("README.md", "index.html"):
        click.echo(folder / name)


def listing(found: list[Source]) -> str:
    """Return the list of machines in Markdown; the newest machine is first."""
    return "\n".join([INTRODUCTION, *map(_machine, found)])


def _machine(source: Source) -> str:
    fastest = bests(source)
    machine = source.machine
    gpus = ", ".join(gpu["name"] for gpu in machine["gpus"]) or "no GPU"
    dates = sorted({record.created[:10] for record in source.records})
    facts = (
        f"{plural(machine['threads'], 'thread')} of {plural(machine['cpus'], 'CPU')}, "
        f"{byte_count(machine['memory_bytes'])} of memory, {gpus}; "
        f"measured {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, "
        f"revision {source.revision[:12] or 'unknown'}."
    )
    parts = [f"## {source.label}\n", f"{facts}\n"]
    parts += [f"- {sentence}" for sentence in (*sentences(fastest), *other_losses(source))]
    if fastest:
        parts += ["", markdown_text(HEADINGS, map(_cells, fastest), words=2)]
    return "\n".join(parts)


def _cells(best: Best) -> list[str]:
    return [
        best.size,
        best.result.backend,
        seconds(best.step_s),
        "–" if best.speed_up is None else times(best.speed_up),
        percent(best.share),
    ]


if __name__ == "__main__":
    main()
