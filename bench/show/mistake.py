"""The error of a command line that cannot be carried out."""

from __future__ import annotations

from typing import Any

import click


class Mistake(click.ClickException):
    """An error reported by one line on stderr and exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:  # noqa: ARG002
        """Print the line, without click's usage text."""
        click.echo(f"descentbench: {self.message}", err=True)
