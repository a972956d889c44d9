"""The contract of trackers: what is told the figures of a training while it runs. Free of torch.

A tracker lives in the process that people started, not in those that train, and in a thread of its own there. So it may be
slow, and it may fail: training never waits for it and ends well without it. What it raises is shown once, as a warning, and it
is told nothing more before the next start.

A training that is resumed or restarted goes on in the same `TrackedRun.id`, and no point is told twice. What a tracker was not
told (it was added later, it failed, the machine went down) is read from the log of the run and told at the next start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The training that a tracker hears of.

    Args:
        name: what people call the run; another training may have had this name before.
        id: letters, digits and `-`: the same whenever this training goes on, and another one for any other training.
        folder: an existing folder that is this tracker's own, the same for all trainings of the run.
        spec: all values of the resolved spec, defaults filled in.
        text: the same as TOML, for people.
    """

    name: str
    id: str
    folder: Path
    spec: Mapping[str, JsonValue]
    text: str


@dataclass(frozen=True, slots=True)
class Point:
    """Figures of one moment of a training.

    Args:
        event: the record that they come from: `train` for the updates since the last one, `valid` for a validation.
        updates: updates done by then.
        figures: name → finite value; docs/reference/json.md lists them.
        time: when that was, in seconds since 1970.
    """

    event: str
    updates: int
    figures: Mapping[str, float]
    time: float


class Tracker(ABC):
    """Is told the figures of one training. All calls come from one thread, the one in which it was built."""

    @abstractmethod
    def start(self, run: TrackedRun) -> None:
        """Begin, or go on where an earlier start of the same training ended. The first call, made once."""

    @abstractmethod
    def record(self, point: Point) -> None:
        """Take note of a point. The updates of an event only ever grow."""

    @abstractmethod
    def close(self, *, done: bool) -> None:
        """End. The last call, after which what was told is where people look for it.

        Args:
            done: whether training has ended well; otherwise it may go on one day.
        """
