"""Print text in any encoding, and end quietly if nobody reads the output any more.

The encoding of a terminal or file can lack characters: ASCII and Latin-1 lack → and ≈. Similar
text is then printed, such as -> and ~. A command whose output goes to a closed pipe ends
without a message.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ERRORS = "descentbench"
"""Name of the error handler for characters that an encoding lacks: → becomes ->."""

ASCII = "descentbench_ascii"
"""Name of a copy of the ASCII codec.

If the encoding of a stream is called ``ascii``, the click library writes UTF-8 instead. With
this name, click leaves the encoding as it is.
"""

CLOSED_PIPE = 128 + signal.SIGPIPE
"""Exit code if the program that reads the output has closed the pipe: 141, as in a shell."""

SIMILAR = {
    "µ": "u",
    "μ": "u",
    "×": "x",
    "÷": "/",
    "·": "*",
    "±": "+-",
    "∞": "inf",
    "½": "1/2",
    "ᵢ": "_i",
    "ₖ": "_k",
    "–": "-",
    "—": "-",
    "−": "-",
    "‑": "-",
    "…": "...",
    "’": "'",
    "‘": "'",
    "“": '"',
    "”": '"',
    "\u00a0": " ",
    "\u202f": " ",
    "\u2009": " ",
    "✓": "+",
    "✗": "x",
    "▼": "v",
    "▲": "^",
    "◂": "<",
    "→": "->",
    "↔": "<->",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "ŷ": "y",
    "ᵀ": "'",
    "Σ": "sum ",
    "χ": "chi",
    "ᵏ": "^k",
    "ⁿ": "^n",
    "ʳ": "^r",
    "ˣ": "^x",
    "←": "<-",
    "λ": "lambda",
    "σ": "sigma",
    "∇": "grad ",
    "∂": "d",
    "√": "sqrt ",
    "‖": "||",
    "°": " deg",
    "━": "-",
    "─": "-",
    "╸": "-",
    "╺": " ",
    "│": "|",
    "•": "*",
    **dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)),
}
"""Similar ASCII text (values) for the non-ASCII characters that this program prints (keys)."""

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
"""Table for `str.translate` that turns superscript digits and minus signs into ASCII."""


def readable(text: str, encoding: str) -> str:
    """Return the text, with similar text in place of characters that the encoding lacks.

    A character of `SIMILAR` becomes similar text: µ becomes u. Any other character becomes a
    Python escape such as ``\\xe9``, so that a file's name remains recognisable.
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode(encoding, ERRORS).decode(encoding)
    return text


def _similar(text: str) -> str:
    """Return similar text in ASCII: ≈ becomes ~, and 10² becomes 10^2."""
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda run: f"^{run[0].translate(RAISED)}", text)
    text = "".join(SIMILAR.get(character, character) for character in text)
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return similar ASCII text for characters that cannot be encoded.

    The second value of the result is the position after these characters.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _similar(error.object[error.start : error.end]), error.end


def _find_codec(name: str) -> codecs.CodecInfo | None:
    """Return a copy of the ASCII codec if `name` is the constant `ASCII`, else None."""
    if name != ASCII:
        return None
    of = codecs.lookup("ascii")
    return codecs.CodecInfo(
        *(of.encode, of.decode, of.streamreader, of.streamwriter),
        *(of.incrementalencoder, of.incrementaldecoder),
        name=ASCII,
    )


codecs.register_error(ERRORS, _replace)
codecs.register(_find_codec)


@contextmanager
def prepared() -> Iterator[None]:
    """Run a command with streams that accept any text; flush the output when it ends.

    Text for a closed stream (``>&-``) is discarded. If the program that reads the output has
    ended (``| head``), the command ends without a message, with exit code `CLOSED_PIPE`.
    """
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=ASCII if ascii_only else None, errors=ERRORS)
    try:
        yield
    except SystemExit as end:
        _flush(reported=end.code == 2)
        raise
    except BrokenPipeError:
        _discard()
        sys.exit(CLOSED_PIPE)
    _flush()


def _flush(reported: bool = False) -> None:
    """Write buffered text now, so that a full disk is reported before Python's exit.

    If `reported` is true, a full disk causes no message, because the command has already
    printed an error.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard()
        sys.exit(CLOSED_PIPE)
    except OSError as error:
        _discard()
        with suppress(OSError):
            if not reported:
                sys.stderr.write(f"descentbench: standard output: {error.strerror}\n")
        sys.exit(2)


def _discard() -> None:
    """Discard text that is not written yet, so that Python prints no error at its exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _open_closed() -> None:
    """Open closed standard streams, so that no other file gets the descriptors 0, 1 and 2."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        mode = "w" if number else "r"
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
