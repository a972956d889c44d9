"""Bars on a terminal, one for each step that runs, drawn by rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from specforge.execution.progress import amount, values
from specforge.foundation.events import ProgressEvent


class BarDisplay:
    """Shows a bar while a step runs, and lines above it.

    Args:
        progress: what draws.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def line(self, text: str) -> None:
        """Show the line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Move the step's bar."""
        if step not in self._bars:
            # begun where the step is: what an earlier run did must not count as speed
            self._bars[step] = self._progress.add_task(step, completed=event.done, amount="", values="")
        self._progress.update(
            self._bars[step],
            completed=event.done,
            total=event.total,
            amount=escape(amount(event)),
            values=escape(" · ".join(values(event.values))),
        )

    def end(self, step: str) -> None:
        """Take the step's bar away; a line says how it ended."""
        if step in self._bars:
            self._progress.remove_task(self._bars.pop(step))


@contextmanager
def bars(stream: TextIO) -> Iterator[BarDisplay]:
    """Draw bars on a terminal during the block."""
    shown = Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[amount]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
        console=Console(file=stream),
    )
    with shown:
        yield BarDisplay(shown)
