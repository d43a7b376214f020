"""``descentbench compare``: find the backends that became faster or slower."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli import print_json
from bench.commands.options import Format, format_options, share, store_option

if TYPE_CHECKING:
    from bench.results.record import Record
    from bench.results.verdict import Comparison


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-slower",
    type=share,
    metavar="SHARE",
    help="Exit with code 1 if a case is certainly slower by more than this, such as 10%.",
)
@click.option(
    "--force", is_flag=True, help="Compare results of different machines or settings, too."
)
@store_option
@format_options
def compare(
    old: str,
    new: str,
    fail_slower: float | None,
    force: bool,
    store: Path,
    output_format: Format,
) -> None:
    """Find the backends that are faster or slower in NEW than in OLD.

    OLD and NEW are files, names that 'run --name' gave, or git revisions at
    which results were saved. A case is a backend at a size. In a pass, every
    case is timed once. A verdict needs at least two passes in OLD and two in
    NEW; three are better. A difference below 2 % does not count as a change. If
    many cases are compared, each verdict needs clearer evidence, so that chance
    produces no wrong verdict.

    For the most reliable verdicts, measure both versions alternately with
    'run --against TREE'. A disturbance of the machine then slows both versions.

    \b
    Examples:
      descentbench compare before after
      descentbench compare 1f3a9c2 8d20b71 --fail-slower 10%
    """
    from bench.results.record import RecordError
    from bench.results.saved import newest_timed
    from bench.results.verdict import slower_than

    pair = [newest_timed(what, store) for what in (old, new)]
    if pair[0].path == pair[1].path:
        raise RecordError(f"{old!r} and {new!r} are the same result, {pair[0].path}")
    found = show(pair[0].record, pair[1].record, output_format, force=force)
    if fail_slower is not None and slower_than(found, fail_slower):
        sys.exit(1)


def show(
    old: Record, new: Record, output_format: Format | None, *, force: bool = False
) -> list[Comparison]:
    """Compare two records, print the comparison, and return it.

    Nothing is printed if `output_format` is None.

    Raises
    ------
    RecordError
        The records come from different conditions (and `force` is False), or have no case in
        common.
    """
    from bench.results.record import RecordError
    from bench.results.verdict import compare as judged
    from bench.results.verdict import differences, versions_changed
    from bench.show import comparison

    unlike = differences(old, new)
    if unlike and not force:
        raise RecordError(f"{'; '.join(unlike)}: not comparable (--force compares them anyway)")
    found, changed = judged(old, new), versions_changed(old, new)
    if output_format == "json":
        print_json(comparison.comparison_document(old, new, found, unlike, changed))
    elif output_format == "csv":
        click.echo(comparison.comparison_csv(found), nl=False)
    elif output_format == "markdown":
        click.echo(comparison.comparison_markdown(found), nl=False)
    elif output_format == "table":
        comparison.print_comparison(found, [*unlike, *changed])
    return found
