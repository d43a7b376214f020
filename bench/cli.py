"""Define the command line ``descentbench``.

A command's module is imported when the command is called. Array libraries are imported even
later, because the number of threads must be set before NumPy is imported.
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
    """A group of commands; each command is imported from `bench.commands` when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, the most common ones first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command; None if no command has this name."""
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"bench.commands.{name}"), name
        )
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line. First make stdout and stderr accept any text."""
        with prepared():
            return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parse the arguments; with ``--help``, print the help and exit.

        If stdout is a closed pipe, exit without a message.
        """
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError:
            sys.exit(CLOSED_PIPE)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. An error that the user can correct is reported in one line."""
        with reported():
            return super().invoke(ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="descentbench")
def main() -> None:
    """Run the same gradient descent in four array libraries, and pick the fastest library.

    \b
    Example:
      descentbench fit --backend torch --predict 7 --plot fit.png
    """


def print_json(value: Any) -> None:
    """Print a JSON document. Nothing else may be printed on stdout."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")
