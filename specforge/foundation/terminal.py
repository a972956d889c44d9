"""Text that is safe to print: what comes from files or specs may not move the cursor, forge lines or reverse text."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from typing import Final, TextIO

_LONGEST: Final = 200


def printable(text: str, *, longest: int = _LONGEST) -> str:
    """Return text with control, format and surrogate characters escaped, clipped to `longest` characters."""
    clipped = text if len(text) <= longest else text[: longest - 1] + "…"
    if clipped.isprintable():
        return clipped
    return "".join(_escape(character) for character in clipped)


def _escape(character: str) -> str:
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}:
        return repr(character)[1:-1]  # Python's own escapes: \x1b, \u202e
    return character


def wants_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a stream should get colours: a terminal that knows them, and no `NO_COLOR` in the environment."""
    return not environment.get("NO_COLOR") and environment.get("TERM") != "dumb" and stream.isatty()


def tell(stream: TextIO, text: str) -> None:
    """Write a line for people. Once nobody can read it (a closed pipe, a full disk), lines go nowhere: the work matters."""
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError:
        silence(stream)


def silence(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, nowhere, so that its end raises nothing either."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
