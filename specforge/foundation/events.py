"""What a running step says while it runs: progress for people, records for files, messages and warnings.

The engine talks to a `Reporter`; the worker's reporter writes each event as one line of JSON to a pipe; the runner reads
them, draws the terminal and appends records to the run's JSONL logs. Only rank 0 reports.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal, Protocol, TypeAlias, assert_never

from specforge.foundation.errors import ErrorRecord

Scalar: TypeAlias = str | int | float | bool | None

PACE: Final = "pace"
"""Name of the record that says how fast a training was: `device`, `devices`, `precision`, `seconds` and `flop`."""


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far the step is.

    Args:
        done: units done.
        total: units in all, or None where unknown.
        unit: what is counted: `updates`, `lines`, `sentences`.
        values: short figures to show beside the bar (`loss`, `ppl`, `tokens/s`).
    """

    done: int
    total: int | None
    unit: str
    values: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """One line for the step's JSONL log.

    Args:
        name: what kind of record: `train`, `valid`, `checkpoint`, `summary`, …
        values: its figures.
    """

    name: str
    values: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """A sentence for the user; `level` is `info` or `warning`."""

    level: Literal["info", "warning"]
    text: str


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The step ends with this error."""

    error: ErrorRecord


Event: TypeAlias = ProgressEvent | RecordEvent | MessageEvent | ErrorEvent


_EVENTS: Final[Mapping[str, Callable[..., Event]]] = {
    "progress": ProgressEvent,
    "record": RecordEvent,
    "message": MessageEvent,
    "error": ErrorEvent,
}


def encode_event(event: Event) -> str:
    """Return an event as one line of JSON, without the line end."""
    match event:
        case ProgressEvent():
            kind = "progress"
        case RecordEvent():
            kind = "record"
        case MessageEvent():
            kind = "message"
        case ErrorEvent():
            kind = "error"
        case _:
            assert_never(event)
    return json.dumps({"event": kind, **asdict(event)}, ensure_ascii=False)


def decode_event(line: str) -> Event:
    """Return the event that `encode_event` wrote.

    Raises:
        ValueError: the line is not an event.
    """
    data = json.loads(line)
    make = _EVENTS.get(data.pop("event", None)) if isinstance(data, dict) else None
    if make is None:
        message = f"not an event: {line[:80]}"
        raise ValueError(message)
    try:
        return make(**data)
    except TypeError as error:
        message = f"not an event: {error}"
        raise ValueError(message) from error


class Reporter(Protocol):
    """Where a running step says what it does."""

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        """Show how far the step is, with short figures beside it."""

    def record(self, name: str, **values: Scalar) -> None:
        """Append one record to the step's JSONL log."""

    def message(self, text: str) -> None:
        """Tell the user something worth a line."""

    def warning(self, text: str) -> None:
        """Tell the user something that is legal and odd."""


class SilentReporter:
    """A reporter that says nothing: for ranks other than 0 and for tests."""

    def progress(self, done: int, total: int | None, unit: str, **values: Scalar) -> None:
        """Say nothing."""

    def record(self, name: str, **values: Scalar) -> None:
        """Say nothing."""

    def message(self, text: str) -> None:
        """Say nothing."""

    def warning(self, text: str) -> None:
        """Say nothing."""
