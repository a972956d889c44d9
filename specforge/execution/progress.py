"""What people see while steps run: bars on a terminal, plain lines now and then elsewhere. All of it on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol, TextIO

from specforge.foundation.events import ProgressEvent, Scalar
from specforge.foundation.terminal import printable, tell

_INTERVAL_SECONDS: Final = 5.0
_SEPARATOR: Final = " · "

_SHOWN_AS: Final = {"gradient_norm": "gradient {}", "tokens_per_second": "{} tokens/s"}
"""Name of a figure in records → how people read it."""


class Display(Protocol):
    """Where a run shows how far it is."""

    def line(self, text: str) -> None:
        """Show a line that stays."""

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Show how far a step is."""

    def end(self, step: str) -> None:
        """A step has ended, well or not."""


class PlainDisplay:
    """Lines only, for files and pipes; of a step's progress not more than one every few seconds.

    Args:
        stream: where to write.
        clock: seconds, counting up.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._start: tuple[float, int] | None = None
        self._done = 0
        self._shown = clock()

    def line(self, text: str) -> None:
        """Write the line."""
        tell(self._stream, text)

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Write where the step is, if the last time was long enough ago."""
        now = self._clock()
        if self._start is None or event.done < self._done:
            self._start = (now, event.done)  # a resumed step does not begin at 0, and a restarted one goes back
        self._done = event.done
        if now - self._shown < _INTERVAL_SECONDS:
            return
        self._shown = now
        begun, first = self._start
        pace = (event.done - first) / (now - begun) if now > begun else 0.0
        left = None if event.total is None or pace <= 0 else (event.total - event.done) / pace
        self.line(f"  {step}  {_SEPARATOR.join(parts(event, left))}")

    def end(self, step: str) -> None:
        """Forget where the step was."""
        del step
        self._start = None


class TerminalDisplay:
    """Lines, and from the first progress on bars below them: rich takes a moment to import, and is often not needed.

    Args:
        stream: the terminal.
        opened: what is to be closed in the end.
    """

    def __init__(self, stream: TextIO, opened: ExitStack) -> None:
        self._stream = stream
        self._opened = opened
        self._shown: Display = PlainDisplay(stream)
        self._has_bars = False

    def line(self, text: str) -> None:
        """Show the line, above the bars."""
        self._shown.line(text)

    def progress(self, step: str, event: ProgressEvent) -> None:
        """Move the step's bar."""
        if not self._has_bars:
            from specforge.execution.bars import bars

            self._shown = self._opened.enter_context(bars(self._stream))
            self._has_bars = True
        self._shown.progress(step, event)

    def end(self, step: str) -> None:
        """Take the step's bar away."""
        self._shown.end(step)


@contextmanager
def display(stream: TextIO = sys.stderr) -> Iterator[Display]:
    """Show bars on a terminal, lines elsewhere."""
    with ExitStack() as opened:
        yield TerminalDisplay(stream, opened) if stream.isatty() else PlainDisplay(stream)


def amount(event: ProgressEvent) -> str:
    """Return how far a step is: `400/8,000 updates`."""
    total = "" if event.total is None else f"/{event.total:,}"
    return f"{event.done:,}{total} {printable(event.unit)}"


def parts(event: ProgressEvent, seconds_left: float | None, *, brief: bool = False) -> list[str]:
    """Return what there is to say about a step, what matters most first.

    Args:
        event: how far it is.
        seconds_left: how long it will take from here, where that is known.
        brief: whether to leave out what is counted.
    """
    left = [] if seconds_left is None else [f"{duration(seconds_left)} left"]
    done = amount(event)
    return [done.split()[0] if brief else done, *left, *values(event.values)]


def fitted(said: Sequence[str], width: int) -> str:
    """Return as much as fits into a width, from the first part on; parts are not cut."""
    line = ""
    for part in said:
        longer = f"{line}{_SEPARATOR}{part}" if line else part
        if len(longer) > width:
            break
        line = longer
    return line


def values(figures: Mapping[str, Scalar]) -> list[str]:
    """Return figures for people: `loss 5.12`, `10,240 tokens/s`."""
    return [
        _SHOWN_AS.get(name, f"{printable(name).replace('{', '{{').replace('}', '}}')} {{}}").format(figure(value))
        for name, value in figures.items()
    ]


def figure(value: Scalar) -> str:
    """Return a value in as few characters as it deserves."""
    match value:
        case bool() | None:
            return str(value).lower()
        case int():
            return f"{value:,}"
        case float() if abs(value) >= 1_000:  # noqa: PLR2004  # from here on decimals say nothing
            return f"{value:,.0f}"
        case float():
            return f"{value:.4g}"
        case _:
            return printable(value)


def duration(seconds: float) -> str:
    """Return a length of time for people: `8 s`, `12 min`, `3 h 05 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:  # noqa: PLR2004  # seconds are still counted by people
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"  # noqa: PLR2004
