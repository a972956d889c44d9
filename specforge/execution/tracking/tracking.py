"""Tracking: the trackers that a spec names are told what a training records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from specforge.execution.signals import StopRequest
from specforge.execution.tracking.points import Recorded, point_of, recorded
from specforge.execution.tracking.teller import Teller
from specforge.foundation import durable
from specforge.foundation.events import RecordEvent
from specforge.language.registry import factory
from specforge.language.spec import Part, Spec, ValuePath
from specforge.language.text.toml_text import toml_document
from specforge.planning.plan import Step
from specforge.trackers.tracker import TrackedRun, Tracker

_TRACKERS: Final[ValuePath] = ("run", "trackers")
_PATIENCE: Final = 60.0
"""Seconds that trackers get at the end, all together."""

_SHORT: Final = 2.0
"""Seconds of waiting that need no word."""


class Tracking:
    """The trackers of one training. Without any, it does nothing.

    Args:
        tellers: one for each tracker.
        warn: told of each tracker that is told nothing any more.
        patience: seconds that they get at the end.
    """

    def __init__(self, tellers: Sequence[Teller], warn: Callable[[str], None], patience: float) -> None:
        self._tellers = list(tellers)
        self._warn = warn
        self._patience = patience

    def record(self, event: RecordEvent) -> None:
        """Tell all trackers a record, if there are figures in it."""
        point = point_of(event.name, event.values, time.time()) if self._tellers else None
        if point is not None:
            for teller in self._tellers:
                teller.tell(point)
            self._give_up_failed()

    def close(self, stop: StopRequest, *, done: bool) -> None:
        """Let all trackers end, and wait for them a while.

        Args:
            stop: requests to stop; nobody waits after the second.
            done: whether training ended well.
        """
        began = time.monotonic()
        for teller in self._tellers:
            teller.end(done=done)
        slow = self._not_ended(began + min(_SHORT, self._patience), stop)
        if slow:
            names = ", ".join(f"`{teller.name}`" for teller in slow)
            self._warn(f"waiting for the tracker {names} to end, {self._patience:.0f} seconds at most")
        for teller in self._not_ended(began + self._patience, stop):
            teller.leave()
        self._give_up_failed()

    def _not_ended(self, deadline: float, stop: StopRequest) -> list[Teller]:
        return [teller for teller in self._tellers if not teller.ended(deadline, lambda: stop.count > 1)]

    def _give_up_failed(self) -> None:
        for teller in [one for one in self._tellers if one.failure is not None]:
            self._tellers.remove(teller)
            self._warn(f"the tracker `{teller.name}` is told nothing more until the next start: {teller.failure}")


@contextmanager
def tracked(
    spec: Spec, step: Step, log: Path, run: str, warn: Callable[[str], None], stop: StopRequest
) -> Iterator[Tracking]:
    """Have the trackers of a spec told about a training during the block; about other steps they are told nothing.

    What the log holds of the training and a tracker has not been told comes first.

    Args:
        spec: names the trackers.
        step: the step that runs in the block.
        log: its log, in the run's folder; the trackers have folders beside it.
        run: name of the run.
        warn: told of each tracker that fails.
        stop: requests to stop.
    """
    tellers = [] if step.trajectory is None else _tellers(spec, step.trajectory, log, run, warn)
    tracking = Tracking(tellers, warn, _PATIENCE)
    done = False
    try:
        yield tracking
        done = True
    finally:
        tracking.close(stop, done=done)


def _tellers(spec: Spec, trajectory: str, log: Path, run: str, warn: Callable[[str], None]) -> list[Teller]:
    parts = [part for path, part in sorted(spec.parts.items()) if path[:-1] == _TRACKERS]
    tellers: list[Teller] = []
    try:
        known = recorded(log, trajectory) if parts else Recorded("")
        for name, part in zip(_names(parts), parts, strict=True):
            folder = durable.make_folder(log.parent / name)
            tracked = TrackedRun(run, known.id, folder, spec.tree, toml_document(spec.tree))
            tellers.append(Teller(name, partial(_make, part), tracked, known.points))
    except OSError as error:
        warn(f"no tracker is told anything: {error}")
    return tellers


def _names(parts: Iterable[Part]) -> Iterator[str]:
    """Yield what each tracker is called: its component's name, with a number from the second of a name on."""
    counts: dict[str, int] = {}
    for name in (part.registered.component.name for part in parts):
        counts[name] = counts.get(name, 0) + 1
        yield f"{name}-{counts[name]}" if counts[name] > 1 else name


def _make(part: Part) -> Tracker:
    tracker = factory(part.registered)(part.config)
    if not isinstance(tracker, Tracker):
        message = f"`{part.registered.qualified}` built a {type(tracker).__name__} instead of a Tracker"
        raise TypeError(message)
    return tracker
