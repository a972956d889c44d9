"""The worker's reporter: every event one line of JSON into the pipe that the runner gave it."""

from __future__ import annotations

import time
from threading import Lock
from typing import IO, Final

from specforge.foundation.errors import ErrorRecord
from specforge.foundation.events import (
    ErrorEvent,
    Event,
    MessageEvent,
    ProgressEvent,
    RecordEvent,
    Scalar,
    encode_event,
)

_PAUSE: Final = 0.1
"""Seconds between two progress events: what a terminal can show. The clock decides nothing else."""


class PipeReporter:
    """A `Reporter` that writes to the runner.

    Args:
        pipe: unbuffered, so that a killed worker has said all that it said.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._one_by_one = Lock()  # a save in the background has something to say, too
        self._quiet_until = 0.0

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        """Show how far the step is; dropped when the last one was just now, unless it is the end."""
        now = time.monotonic()
        if now >= self._quiet_until or done == total:
            self._quiet_until = now + _PAUSE
            self._send(ProgressEvent(done, total, unit, values))

    def record(self, name: str, **values: Scalar) -> None:
        """Append one record to the step's JSONL log."""
        self._send(RecordEvent(name, values))

    def message(self, text: str) -> None:
        """Tell the user something worth a line."""
        self._send(MessageEvent("info", text))

    def warning(self, text: str) -> None:
        """Tell the user something that is legal and odd."""
        self._send(MessageEvent("warning", text))

    def error(self, record: ErrorRecord) -> None:
        """Say why the step ends."""
        self._send(ErrorEvent(record))

    def _send(self, event: Event) -> None:
        line = encode_event(event).encode() + b"\n"
        with self._one_by_one:
            while line:  # an unbuffered file may take less than it is given
                line = line[self._pipe.write(line) :]
