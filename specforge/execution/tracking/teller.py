"""Telling one tracker: in a thread of its own, which nobody waits for while training runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from queue import Empty, Full, Queue
from threading import Thread
from typing import Final, TypeAlias

from specforge.execution.tracking.told import Told
from specforge.foundation.terminal import printable
from specforge.trackers.tracker import Point, TrackedRun, Tracker

_MOST_WAITING: Final = 10_000
"""How many points may wait for a slow tracker."""

_AT_ONCE: Final = 100
"""About how many points are written down as told together."""

_LOOK_SECONDS: Final = 0.05


class _End:
    """The last thing that a tracker is told.

    Args:
        done: whether training ended well.
    """

    def __init__(self, *, done: bool) -> None:
        self.done = done


_Item: TypeAlias = Point | _End


class Teller:
    """Tells one tracker. It is built and started at the first point that it has not been told, and else not at all.

    Args:
        name: the tracker, for messages.
        make: builds it.
        run: the training.
        former: points that the log holds.
        most_waiting: how many points may wait.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Tracker],
        run: TrackedRun,
        former: Iterable[Point],
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self.name = name
        self.failure: str | None = None
        """Why it is told nothing any more."""
        self._make = make
        self._run = run
        self._former = list(former)
        self._waiting: Queue[_Item] = Queue(most_waiting)
        self._tracker: Tracker | None = None
        # a daemon: a tracker that hangs keeps nobody here
        self._thread = Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def tell(self, point: Point) -> None:
        """Have the tracker told a point, in its time."""
        self._put(point)

    def end(self, *, done: bool) -> None:
        """Have the tracker told that this is the end, in its time.

        Args:
            done: whether training ended well.
        """
        self._put(_End(done=done))

    def ended(self, deadline: float, hurried: Callable[[], bool]) -> bool:
        """Wait for the tracker to end, and return whether it has.

        Args:
            deadline: until when to wait, by `time.monotonic`.
            hurried: returns whether to wait no more.
        """
        while self._thread.is_alive() and time.monotonic() < deadline and not hurried():
            self._thread.join(_LOOK_SECONDS)
        return not self._thread.is_alive()

    def leave(self) -> None:
        """Wait for the tracker no more."""
        if self.failure is None:
            self.failure = "it did not end in time"

    def _put(self, item: _Item) -> None:
        if self.failure is None:
            try:
                self._waiting.put_nowait(item)
            except Full:
                self.failure = f"it does not keep up, {self._waiting.maxsize:,} points wait for it"

    def _work(self) -> None:
        try:
            self._tell_all()
        except BaseException as error:  # noqa: BLE001  # a stranger's code may raise anything, SystemExit too
            cause = " ".join(str(error).split())
            self.failure = printable(f"{type(error).__name__}: {cause}" if cause else type(error).__name__)

    def _tell_all(self) -> None:
        told = Told(self._run.folder, self._run.id)
        for first in range(0, len(self._former), _AT_ONCE):
            self._tell_some(self._former[first : first + _AT_ONCE], told)
        end = None
        while end is None:
            end = self._tell_some([self._waiting.get(), *islice(self._at_hand(), _AT_ONCE)], told)
        if self._tracker is not None:
            self._tracker.close(done=end.done)

    def _at_hand(self) -> Iterator[_Item]:
        while True:
            try:
                yield self._waiting.get_nowait()
            except Empty:
                return

    def _tell_some(self, items: Sequence[_Item], told: Told) -> _End | None:
        """Tell points that come together, and return the end if it is among them."""
        points = [item for item in items if isinstance(item, Point) and not told.knows(item)]
        if points:
            tracker = self._started()
            told.write(coming=points)
            try:
                for point in points:
                    if not told.knows(point):
                        tracker.record(point)
                        told.note(point)
            except BaseException:
                told.write()  # the rest of them has not been told
                raise
        return next((item for item in items if isinstance(item, _End)), None)

    def _started(self) -> Tracker:
        if self._tracker is None:
            tracker = self._make()
            tracker.start(self._run)
            self._tracker = tracker
        return self._tracker
