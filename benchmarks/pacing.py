"""Rounds: a training process does some updates, says how long they took, and waits for its turn.

Several systems are compared on one machine by turns: while one computes, the others wait at a pipe. This file needs nothing
but Python, because another system's interpreter imports it, too.
"""

from __future__ import annotations

import json
import os
import sys
import time


class Pacer:
    """Stops a training loop after each round until the parent process writes a line; it ends with the parent.

    Standard output belongs to the figures from here on: whatever else is printed goes to standard error.

    Args:
        updates: updates of a round.
    """

    def __init__(self, updates: int) -> None:
        self._updates = updates
        self._figures = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)
        self._done = 0
        self._tokens = 0.0
        self._begin()

    def update(self, tokens: float) -> None:
        """Count an update; at the end of a round say what it took, and wait.

        Args:
            tokens: target tokens that it was trained on, padding not counted.
        """
        self.round(tokens, 1)

    def round(self, tokens: float, updates: int) -> None:
        """Count several updates that were done at once."""
        self._tokens += tokens
        self._done += updates
        if self._done < self._updates:
            return
        seconds, cpu = time.perf_counter() - self._clock, time.process_time() - self._cpu
        figures = {"updates": self._done, "tokens": self._tokens, "seconds": seconds, "cpu_seconds": cpu}
        self._figures.write(json.dumps(figures) + "\n")
        self._done, self._tokens = 0, 0.0
        if not sys.stdin.readline():
            sys.exit(0)
        self._begin()

    def _begin(self) -> None:
        self._clock, self._cpu = time.perf_counter(), time.process_time()
