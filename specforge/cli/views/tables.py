"""Tables on standard output: drawn to fit a terminal, plain aligned lines for everybody else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from specforge.cli.views import output
from specforge.foundation.terminal import printable

_LONGEST_CELL = 1_000


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows below their heads.

    Args:
        heads: name of each column.
        rows: cells, one for each column; what is unsafe to print in them is escaped.
    """
    cells = [[printable(cell, longest=_LONGEST_CELL) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(heads, cells)
    else:
        for line in output.columns([heads, *cells], indent=""):
            output.result(line)


def _drawn(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # slow to import, so only where it draws
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(Text(cell, overflow="fold") for cell in row))  # Text: square brackets in a cell are no markup
    Console(file=sys.stdout).print(drawn)
