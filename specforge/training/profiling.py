"""Profiling: some updates of a training under torch's profiler, as a trace that browsers show.

It watches and changes nothing: weights come out bit by bit as without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch.profiler import profile, record_function, supported_activities

from specforge.foundation.events import Reporter

VIEWERS = "https://ui.perfetto.dev or chrome://tracing"


@dataclass(frozen=True, slots=True)
class Window:
    """Which updates are profiled, counted from the one that this start of the training begins with.

    Args:
        after: updates before the first one: they warm up caches, allocators and compilers.
        updates: how many.
    """

    after: int
    updates: int


class Profiler:
    """Profiles the updates of a window, with all that is between them.

    Args:
        window: the updates; None: none.
        path: where the trace goes, `.json.gz`.
        reporter: told where it is.
    """

    def __init__(self, window: Window | None, path: Path, reporter: Reporter) -> None:
        self._window = window
        self._path = path
        self._reporter = reporter
        self._passed = 0
        self._first = 0
        self._last = 0
        self._profile: profile | None = None

    @contextmanager
    def update(self, number: int) -> Iterator[None]:
        """Return a context for an update.

        Args:
            number: of the update, from 1.
        """
        if self._window is None:
            yield
            return
        if self._passed == self._window.after:
            self._begin(number)
        self._passed += 1
        if self._profile is None:
            yield
            return
        with record_function(f"update {number}"):
            yield
        self._last = number
        if self._passed == self._window.after + self._window.updates:
            self._end()

    def close(self) -> None:
        """End the profile if training ended inside the window, and say so if it ended before."""
        if self._profile is not None:
            self._end()
        elif self._window is not None and self._passed <= self._window.after:
            self._reporter.warning(
                f"nothing was profiled: there were {self._passed:,} updates, and `run.profile` waits for {self._window.after:,}"
            )

    def _begin(self, number: int) -> None:
        self._first = self._last = number
        self._profile = profile(activities=supported_activities(), record_shapes=True, acc_events=True)
        self._profile.start()

    def _end(self) -> None:
        ended, self._profile = self._profile, None
        assert ended is not None
        try:
            ended.stop()
            ended.export_chrome_trace(str(self._path))  # torch opens the file itself; a trace is no result
        except (OSError, RuntimeError) as error:
            self._reporter.warning(f"the trace cannot be written: {error}")
            return
        self._reporter.message(
            f"the trace of updates {self._first:,} to {self._last:,} is {self._path}; {VIEWERS} shows it"
        )
