"""Run Python code in a child process, and return the JSON object that it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_FATAL = re.compile(r"F\d{4} \S+ +\d+ \S+\] (.*)")
"""Pattern of the line that the XLA library logs when a fatal error ends the process. Group 1 is
the error message."""


def answer(
    code: str, *arguments: str, environment: Mapping[str, str], seconds: float, does: str
) -> dict[str, Any] | str:
    """Run Python code in a child process, and return the JSON object that it prints.

    Parameters
    ----------
    code : str
        The program. Its last printed line is a JSON object.
    *arguments : str
        The child's ``sys.argv[1:]``.
    environment : mapping
        The child's environment variables. This process's ``sys.path`` is added, so the child
        finds the same modules.
    seconds : float
        Timeout in seconds.
    does : str
        Verb in the message after a timeout, such as ``"started"`` for "it had not started after
        60 s".

    Returns
    -------
    dict or str
        The JSON object. If the child failed, a str of one line that says why.
    """
    folders = [folder or os.curdir for folder in sys.path]
    path = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), *folders)))
    try:
        done = subprocess.run(  # noqa: S603 (the code is ours)
            [sys.executable, "-c", code, *arguments],
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return f"it had not {does} after {seconds:g} s"
    except OSError as error:
        return f"no process could be started: {str(error).splitlines()[0]}"
    if done.returncode == 0:
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told
    return _reason(done.stderr, done.returncode)


def _reason(output: str, status: int) -> str:
    """Return one line that says why a process failed, from its error output and exit status."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if fatal := next(filter(None, map(_FATAL.match, lines)), None):
        return str(fatal[1])
    if status < 0:  # ended by a signal: a stack trace follows the output's first line
        ended = f"its process was ended by {signal.Signals(-status).name}"
        return f"{ended} ({lines[0]})" if lines else ended
    return lines[-1] if lines else f"its process ended with exit code {status}"
