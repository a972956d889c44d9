"""Points of a training: from its records as they come, and from the log of the run, which has those of all attempts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.execution.logs import FORCED
from specforge.trackers.tracker import Point

_ID_LENGTH: Final = 12


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the log of a run holds of a training.

    Args:
        id: of the training, as trackers know it.
        points: oldest first, those of all attempts: a resumed training says some of them again.
    """

    id: str
    points: tuple[Point, ...] = ()


def recorded(log: Path, trajectory: str) -> Recorded:
    """Return what a log holds of a training, from its last beginning on.

    Args:
        log: the log of the run's training step; each `start` in it says which training it is.
        trajectory: the training's.

    Raises:
        OSError: the log cannot be read.
    """
    beginnings = 0
    is_it = False
    points: list[Point] = []
    for record in _records(log):
        if record.get("event") == "start":
            is_it = record.get("trajectory") == trajectory
            if is_it and (not beginnings or record.get("reason") == FORCED):  # else it goes on
                beginnings += 1
                points = []
        elif is_it:
            points += _from_log(record)
    number = f"-{beginnings}" if beginnings > 1 else ""
    return Recorded(f"{trajectory[:_ID_LENGTH]}{number}", tuple(points))


def point_of(event: str, values: Mapping[str, JsonValue], at: float) -> Point | None:
    """Return the point that a record tells; None where it has no figures at a number of updates.

    Args:
        event: name of the record.
        values: its figures, `updates` among them.
        at: when it came, in seconds since 1970.
    """
    updates = values.get("updates")
    if not isinstance(updates, int):
        return None
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float) and name != "updates"}
    figures = {name: float(value) for name, value in numbers.items() if not isinstance(value, bool) and isfinite(value)}
    return Point(event, updates, figures, at) if figures else None


def _from_log(record: Mapping[str, JsonValue]) -> list[Point]:
    event, at = record.get("event"), record.get("time")
    if not isinstance(event, str) or not isinstance(at, int | float):
        return []
    point = point_of(event, {name: value for name, value in record.items() if name not in {"event", "time"}}, at)
    return [] if point is None else [point]


def _records(log: Path) -> Iterator[Mapping[str, JsonValue]]:
    """Yield the records of a log, none where it is not there; half a line that a crash left is none."""
    if not log.exists():
        return
    with log.open("rb") as lines:
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record
