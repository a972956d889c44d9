"""What a tracker has been told: kept beside its files, so that no start tells it a point twice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.foundation import durable
from specforge.trackers.tracker import Point

_FILE: Final = "told.json"


class Told:
    """How far a tracker has been told of a training. The updates of an event only grow, so one number for each does.

    Args:
        folder: the tracker's.
        training: id of the training; what is said of another one counts for nothing.
    """

    def __init__(self, folder: Path, training: str) -> None:
        self._path = folder / _FILE
        self._training = training
        self._furthest: dict[str, int] = _read(self._path, training)

    def knows(self, point: Point) -> bool:
        """Return whether the tracker has been told this point, or a later one of the same event."""
        return point.updates <= self._furthest.get(point.event, -1)

    def note(self, point: Point) -> None:
        """Take note of a point that the tracker has been told."""
        self._furthest[point.event] = point.updates

    def write(self, coming: Sequence[Point] = ()) -> None:
        """Write down what the tracker has been told.

        Args:
            coming: points that it is told next. They count as told: should we be ended meanwhile, then rather a point is
                missing than there twice.
        """
        furthest = dict(self._furthest)
        for point in coming:
            furthest[point.event] = max(point.updates, furthest.get(point.event, -1))
        durable.replace_file(self._path, durable.json_text({"training": self._training, "furthest": {**furthest}}))


def _read(path: Path, training: str) -> dict[str, int]:
    try:
        found: JsonValue = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    furthest = found.get("furthest") if isinstance(found, dict) and found.get("training") == training else None
    if not isinstance(furthest, Mapping):
        return {}
    return {event: updates for event, updates in furthest.items() if isinstance(updates, int)}
