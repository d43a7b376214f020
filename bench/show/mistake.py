"""Report an error of a command in one line on stderr, without a traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from bench.host.interrupts import exit_code, interruptible, interrupts
from bench.host.streams import CLOSED_PIPE


class Mistake(click.ClickException):
    """An error that is printed as one line on stderr; the exit code is 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:  # noqa: ARG002
        """Print the message on stderr, without click's usage text."""
        click.echo(f"descentbench: {self.message}", err=True)


@contextmanager
def reported() -> Iterator[None]:
    """Turn each error that the user can correct into a `Mistake`.

    After Ctrl-C, print "interrupted" and end the process.
    """
    try:
        with interruptible(), interrupts():
            yield
    except KeyboardInterrupt as interrupt:
        click.echo("descentbench: interrupted", err=True)
        sys.exit(exit_code(interrupt))
    except click.UsageError as error:
        raise Mistake(f"{error.format_message()} (--help shows how)") from error
    except BrokenPipeError:
        sys.exit(CLOSED_PIPE)
    except Exception as error:
        from backends.errors import DescentbenchError  # imports NumPy, so not at the top

        if isinstance(error, DescentbenchError):
            raise Mistake(str(error)) from error
        if isinstance(error, OSError) and error.errno is not None:
            where = f"{error.filename}: " if error.filename else ""
            raise Mistake(f"{where}{error.strerror}") from error  # for example a full disk
        raise


class Script(click.Command):
    """A command of a developers' script that reports errors as ``descentbench`` does."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. An error that the user can correct is reported in one line."""
        with reported():
            return super().invoke(ctx)
