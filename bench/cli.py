"""The command line ``descentbench``.

The module of a command is imported when the command is called. Array libraries are imported
later still, because the number of threads must be in the environment before NumPy is imported.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import click

from bench.host.streams import CLOSED_PIPE, prepared
from bench.show.mistake import reported

COMMANDS = ("fit", "predict", "run", "pick", "report", "compare", "plot", "backends", "doctor")


class LazyGroup(click.Group):
    """A group whose commands are modules of `bench.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands in the order in which users need the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of a command and return the command; None if there is none."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"bench.commands.{name}"), name
        )
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line with streams that accept any text."""
        with prepared():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; with ``--help``, print the help."""
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            sys.exit(CLOSED_PIPE)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; report an error that the user can correct in one line."""
        with reported():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="descentbench")
def main() -> None:
    """One gradient descent in four array libraries: checked, timed, and picked.

    \b
    Example:
      descentbench fit --backend torch --predict 7 --plot fit.png
    """


def print_json(value: Any) -> None:
    """Print one JSON document, the only output on stdout."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")
