"""The log of a step: one JSON object on each line, with the time and the name of what happened."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Final

from specforge.foundation import durable
from specforge.foundation.events import Scalar

FORCED: Final = "forced"
"""Reason, in the record `start`, of a step that is made anew by request."""


class StepLog:
    """Appends records to a step's log; all attempts follow each other in one file.

    A log that cannot be written is told once and then given up: the result matters more.

    Args:
        path: the file; its folder exists.
        complain: told when the log cannot be written.
        clock: seconds since the epoch.
    """

    def __init__(self, path: Path, complain: Callable[[str], None], clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._complain = complain
        self._clock = clock
        self._file: IO[bytes] | None = None
        self._given_up = False

    def write(self, event: str, values: Mapping[str, Scalar]) -> None:
        """Append one record; figures that are not finite become null, since JSON has none."""
        if self._given_up:
            return
        finite = {name: None if _not_finite(value) else value for name, value in values.items()}
        record = {"time": round(self._clock(), 3), "event": event, **finite}
        try:
            if self._file is None:
                self._file = durable.open_log(self._path)
            durable.append_line(self._file, json.dumps(record, ensure_ascii=False, allow_nan=False))
        except OSError as error:
            self._given_up = True
            self._complain(f"warning: the log is not written any more: {error}")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _not_finite(value: Scalar) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
