"""Requests to stop: the first one gently, a second one at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from specforge.foundation.errors import InterruptedRunError, SpecforgeError, StoppedRunError

_REQUESTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_ECHO_SECONDS: Final = 0.25
"""A signal that comes once more within this time is the same request: `timeout` and others send it to a process, and then to
its group, the process included. Nobody presses Ctrl-C twice that quickly and means it."""


class StopRequest:
    """What has been asked of us so far. A handler only counts; whoever waits for something looks here.

    Args:
        clock: seconds, counting up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._first = signal.SIGTERM
        self._last: tuple[int, float] | None = None

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Take note of a signal."""
        del frame
        now = self._clock()
        if self._last is not None and self._last[0] == number and now - self._last[1] < _ECHO_SECONDS:
            return
        self._last = number, now
        if not self.count:
            self._first = signal.Signals(number)
        self.count += 1

    def check(self) -> None:
        """Raise what `error` returns when a signal has come."""
        if self.count:
            raise self.error()

    def pause(self, seconds: float) -> None:
        """Sleep, and raise when a signal has come."""
        self.check()
        time.sleep(seconds)
        self.check()

    def error(self, saved: SpecforgeError | None = None) -> SpecforgeError:
        """Return what the run ends with.

        Args:
            saved: what a worker said when it stopped on our request, about the state that it saved.
        """
        kind = InterruptedRunError if self._first == signal.SIGINT else StoppedRunError
        if saved is not None:
            return kind(saved.code, saved.message, notes=saved.notes, help=saved.help)
        interrupted = kind is InterruptedRunError
        return kind(
            "SF641" if interrupted else "SF642",
            "interrupted" if interrupted else f"stopped by {self._first.name}",
            help="the same command goes on from here",
        )


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Listen for Ctrl-C, SIGTERM and a closed terminal during the block, instead of being ended by them."""
    request = StopRequest()
    former = {number: signal.getsignal(number) for number in _REQUESTS}
    for number, handler in former.items():
        if handler is not signal.SIG_IGN:  # `nohup` means it
            signal.signal(number, request.note)
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
