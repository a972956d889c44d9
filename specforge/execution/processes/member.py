"""A rank as its supervisor knows it: what it said, how it ended, and how to reach it."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from specforge.foundation.errors import SpecforgeError


@dataclass(slots=True)
class Member(ABC):
    """One rank.

    Args:
        rank: its number, from 0.
        host: where it runs, when that is another machine.
        error: what it said it failed of; `fail_with` sets it.
        failed_at: when it was heard, on the monotonic clock.
        killed: whether we ended it.
        stopped: whether a signal had stopped it when it was asked for its stack.
    """

    rank: int
    host: str | None = field(default=None, kw_only=True)
    error: SpecforgeError | None = field(default=None, kw_only=True)
    failed_at: float = field(default=float("inf"), kw_only=True)
    killed: bool = field(default=False, kw_only=True)
    stopped: bool = field(default=False, kw_only=True)

    def fail_with(self, error: SpecforgeError) -> None:
        """Take note of what it failed of."""
        self.error, self.failed_at = error, time.monotonic()

    @property
    @abstractmethod
    def code(self) -> int | None:
        """How it ended: exit code, or minus the number of a signal; None while it runs."""

    @property
    @abstractmethod
    def beats(self) -> int:
        """How often its heart has beaten."""

    @abstractmethod
    def pulse(self) -> bool:
        """Return whether its heart has beaten since the last question."""

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""

    @abstractmethod
    def kill(self) -> None:
        """End it, with whatever it started."""

    @abstractmethod
    def show_stack(self) -> None:
        """Have it say where each of its threads is, even if it is stopped or busy."""

    @abstractmethod
    def stack(self) -> str:
        """Return what it has said since `show_stack`."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind: no process, no descriptor."""
