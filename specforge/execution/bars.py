"""Lines on a terminal that move, one for each step that runs, drawn by rich: what matters most first, as much as fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text

from specforge.execution.progress import fitted, parts
from specforge.foundation.events import ProgressEvent

_BAR: Final = 16
_ROOM_FOR_UNITS: Final = 60
_ROOM_FOR_A_BAR: Final = 100
"""Columns from which on there is room for a bar beside figures; below, figures say more."""


class BarDisplay:
    """Shows a line that moves while a step runs, and lines that stay above it.

    Args:
        progress: what draws.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def line(self, text: str) -> None:
        """Show the line above those that move."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Move the step's line."""
        if step in self._bars:
            self._progress.update(self._bars[step], completed=event.done, total=event.total, event=event)
        else:
            # begun where the step is: what an earlier run did must not count as speed
            self._bars[step] = self._progress.add_task(step, completed=event.done, total=event.total, event=event)

    def end(self, step: str) -> None:
        """Take the step's line away; another one says how it ended."""
        if step in self._bars:
            self._progress.remove_task(self._bars.pop(step))
            self._progress.refresh()


class _Said(ProgressColumn):
    """A bar where there is room for one, how far the step is, how long it will take, and its figures, on one line.

    Args:
        console: where it is drawn; its width may change.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(Column(no_wrap=True))
        self._console = console
        self._bar = BarColumn(bar_width=_BAR)

    def render(self, task: Task) -> Table | Text:
        event = task.fields["event"]
        assert isinstance(event, ProgressEvent)
        has_bar = self._console.width >= (_ROOM_FOR_A_BAR if event.values else _ROOM_FOR_UNITS)
        room = self._console.width - len(f"  {task.description} ") - (_BAR + 1 if has_bar else 0)
        text = self._text(event, task.time_remaining, room)
        if not has_bar:
            return text
        both = Table.grid(padding=(0, 1))
        both.add_row(self._bar.render(task), text)
        return both

    def _text(self, event: ProgressEvent, seconds_left: float | None, room: int) -> Text:
        said = parts(event, seconds_left, brief=self._console.width < _ROOM_FOR_UNITS)
        return Text(fitted(said, room), no_wrap=True, overflow="ellipsis")


@contextmanager
def bars(stream: TextIO) -> Iterator[BarDisplay]:
    """Draw lines that move on a terminal during the block."""
    console = Console(file=stream)
    step = TextColumn("  {task.description}", markup=False, table_column=Column(no_wrap=True))
    with Progress(step, _Said(console), console=console) as shown:
        yield BarDisplay(shown)
