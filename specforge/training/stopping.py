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
    """Turn the first SIGTERM into a request; the second one ends the process at once.

    Only the main thread may call this.
    """
    request = StopRequest()

    def handler(_number: int, _frame: FrameType | None) -> None:
        request.make()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    former = signal.signal(signal.SIGTERM, handler)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, former)
