"""Being asked to stop: SIGTERM sets a flag that training looks at between two updates."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.made = False

    def make(self) -> None:
        """Ask."""
        self.made = True


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Turn every SIGTERM into a request; only the main thread may call this.

    A second one asks for no more than the first: batch systems and service managers signal all processes of a job, and the
    runner passes on what it got itself. It is the runner who ends a process that takes too long.
    """
    request = StopRequest()

    def handler(_number: int, _frame: FrameType | None) -> None:
        request.make()

    former = signal.signal(signal.SIGTERM, handler)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, former)
