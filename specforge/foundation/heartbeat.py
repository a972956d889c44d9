"""The heartbeat of a worker: bytes in a pipe, written by the loop that does the work.

A thread of its own would beat on while the work stands still, so none is used. All ranks of a training pass the same
places in the same order: where they wait for each other for good, the one that has beaten the fewest times is the one that
the others wait for. What one rank does while the others wait, and not all at once (the files of a checkpoint), says so with a
byte of its own, which counts for no beat.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

_BEAT: Final = b"."
_UPDATE: Final = b"u"
_AT_WORK: Final = b"w"
_MOST_BYTES: Final = 1 << 16


class Heart:
    """What a worker says about being alive; it costs one system call a beat and never waits.

    Args:
        pipe: descriptor to write to; None where nobody listens.
    """

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe
        if pipe is not None:
            os.set_blocking(pipe, False)

    def beat(self) -> None:
        """Say that a place has been passed which all ranks pass equally often."""
        self._write(_BEAT)

    def update_done(self) -> None:
        """Say that an update has been done."""
        self._write(_UPDATE)

    def at_work(self) -> None:
        """Say that a piece is done of something that the other ranks may wait for, and do not do themselves."""
        self._write(_AT_WORK)

    def _write(self, what: bytes) -> None:
        if self._pipe is not None:
            with suppress(BlockingIOError, BrokenPipeError):  # a full pipe says enough; without a listener nobody cares
                os.write(self._pipe, what)


@dataclass(slots=True)
class Pulse:
    """What is heard of a heart.

    Args:
        pipe: descriptor to read from.
        beats: how often it has beaten.
        updates: updates done.
    """

    pipe: int
    beats: int = 0
    updates: int = 0

    def __post_init__(self) -> None:
        os.set_blocking(self.pipe, False)

    def listen(self) -> bool:
        """Take in what has come, and return whether anything has."""
        heard = False
        with suppress(BlockingIOError):
            while chunk := os.read(self.pipe, _MOST_BYTES):
                heard = True
                self.updates += chunk.count(_UPDATE)
                self.beats += len(chunk) - chunk.count(_AT_WORK)
        return heard

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.pipe)
