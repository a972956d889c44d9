"""Bars on a terminal, one for each step that runs, drawn by rich."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

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
        done, total, shown, figures = event.done, event.total, amount(event), " · ".join(values(event.values))
        if step in self._bars:
            self._progress.update(self._bars[step], completed=done, total=total, amount=shown, values=figures)
        else:
            # begun where the step is: what an earlier run did must not count as speed
            task = self._progress.add_task(step, completed=done, total=total, amount=shown, values=figures)
            self._bars[step] = task

    def end(self, step: str) -> None:
        """Take the step's bar away; a line says how it ended."""
        if step in self._bars:
            self._progress.remove_task(self._bars.pop(step))
            self._progress.refresh()


class _Figures(ProgressColumn):
    """The figures beside a bar: on a narrow terminal it is they that are cut, on one line."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["values"], no_wrap=True, overflow="ellipsis")


@contextmanager
def bars(stream: TextIO) -> Iterator[BarDisplay]:
    """Draw bars on a terminal during the block."""
    whole = Column(no_wrap=True)
    shown = Progress(
        TextColumn("  {task.description}", markup=False, table_column=whole),
        BarColumn(bar_width=16, table_column=whole.copy()),
        TextColumn("{task.fields[amount]}", markup=False, table_column=whole.copy()),
        TimeRemainingColumn(table_column=whole.copy()),
        _Figures(),
        console=Console(file=stream),
    )
    with shown:
        yield BarDisplay(shown)
