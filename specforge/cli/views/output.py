"""What commands say: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from specforge.foundation.terminal import tell


def result(text: str) -> None:
    """Print a line of what the command was asked for."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print a line about what is going on."""
    tell(sys.stderr, text)


def columns(rows: Iterable[Sequence[str]], *, indent: str = "  ", gap: str = "   ") -> list[str]:
    """Return rows as lines whose cells stand below each other; the last cell is as long as it likes."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        (indent + gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]
