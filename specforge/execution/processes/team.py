"""All ranks of a step, watched until the last one has ended: by itself, by our signals, or because another one died or hung."""

from __future__ import annotations

import selectors
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from specforge.execution.processes.local import LocalWorker
from specforge.execution.processes.member import Member
from specforge.execution.signals import StopRequest
from specforge.foundation import durable
from specforge.foundation.errors import ExitCode
from specforge.foundation.events import Event

GRACE_SECONDS: Final = 25.0
"""How long workers may take to save their state after a request to stop."""

LAST_WORDS_SECONDS: Final = 1.0
"""How long the other ranks may take to say why they fail, once one has died."""

_STARTING: Final = 10
"""So many times as long may a training stand still before its first update: importing, reading and compiling are slow."""

_POLL_SECONDS: Final = 0.1
_ENDING_SECONDS: Final = 0.005
_STACKS_SECONDS: Final = 2.0
_QUIET_SECONDS: Final = 0.3  # a rank that has said nothing more for so long has said all
_ANSWER_SECONDS: Final = 2.0
_AWAY_SECONDS: Final = 5.0  # a supervisor that was itself stopped so long must not judge by the time that passed


@dataclass(frozen=True, slots=True)
class Watch:
    """How standing still is noticed.

    Args:
        timeout: seconds in which at least one rank must beat.
        stacks: file that the stacks of all ranks are appended to when none does.
    """

    timeout: float
    stacks: Path


@dataclass(frozen=True, slots=True)
class Hang:
    """A training that stood still.

    Args:
        ranks: those that the others waited for; all when that cannot be told.
        stopped: whether these were stopped by a signal.
        seconds: how long nothing was heard.
        stacks: file that holds the stacks of all ranks; None when none could be had.
    """

    ranks: tuple[int, ...]
    stopped: bool
    seconds: float
    stacks: Path | None


class Others(Protocol):
    """Ranks of other processes of `specforge run` (`specforge.execution.worlds.leader.Leader`)."""

    def fileno(self) -> int:
        """Return the descriptor that has something to read when they have said something."""

    def hear(self) -> None:
        """Take note of what they say."""

    def lose_silent_ones(self) -> None:
        """Take those for gone that have not said how they ended."""


class Team:
    """The ranks of a step.

    Args:
        stop: requests to stop; passed on to the workers.
        watch: how standing still is noticed; None for a step without a heartbeat.
        others: where ranks are heard that are not ours; None where all are.

    Attributes:
        members: the ranks, in order.
        hang: how they stood still, when they did.
    """

    def __init__(self, stop: StopRequest, watch: Watch | None = None, others: Others | None = None) -> None:
        self.members: list[Member] = []
        self.hang: Hang | None = None
        self._stop = stop
        self._watch = watch
        self._others = others
        self._killed_at: float | None = None
        self._asked = False
        self._deadline: float | None = None
        self._last_beat = self._looked = time.monotonic()

    @property
    def updates(self) -> int:
        """How many updates the furthest local rank has done."""
        return max((member.heart.updates for member in self.members if isinstance(member, LocalWorker)), default=0)

    def listen(self, on_event: Callable[[Event], None]) -> None:
        """Pass events on until all workers have ended, by themselves or by our signals."""
        with selectors.DefaultSelector() as selector:
            for member in self.members:
                if isinstance(member, LocalWorker):
                    selector.register(member.events, selectors.EVENT_READ, partial(member.hear, selector, on_event))
            if self._others is not None:
                selector.register(self._others, selectors.EVENT_READ, self._others.hear)
            while any(member.code is None for member in self.members):
                self._forward_stop()
                self._end_late_ones()
                self._feel_pulse()
                # who has closed its pipe is about to end
                _hear(selector, _POLL_SECONDS if selector.get_map() else _ENDING_SECONDS)
            while _hear(selector, 0):
                pass

    def _forward_stop(self) -> None:
        if self._stop.count and not self._asked:
            self._asked = True
            self._deadline = time.monotonic() + GRACE_SECONDS
            for member in self.members:
                member.signal(signal.SIGTERM)
        if self._stop.count > 1:
            self._deadline = time.monotonic()

    def _end_late_ones(self) -> None:
        codes = [member.code for member in self.members]
        if self._deadline is None and any(code not in {None, 0} for code in codes):
            # ranks that stop with their state saved may take as long as the last of them needs for saving
            stopping = all(code in {None, 0, ExitCode.STOPPED} for code in codes)
            self._deadline = time.monotonic() + (GRACE_SECONDS if stopping else LAST_WORDS_SECONDS)
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.kill()
        if self._others is not None and self._unanswered():
            self._others.lose_silent_ones()

    def _unanswered(self) -> bool:
        """Return whether the others have had the time to say how they ended."""
        return self._killed_at is not None and time.monotonic() > self._killed_at + _ANSWER_SECONDS

    def _feel_pulse(self) -> None:
        """End all ranks when none of them has beaten for too long."""
        if self._watch is None or self._deadline is not None:
            return
        now = time.monotonic()
        heard = [member.pulse() for member in self.members]
        if any(heard) or now - self._looked > _AWAY_SECONDS:
            self._last_beat = now
        self._looked = now
        still = now - self._last_beat
        if still > self._watch.timeout * (1 if self.updates else _STARTING):
            self.hang = self._examined(self._watch.stacks, still)
            self.kill()

    def _examined(self, path: Path, seconds: float) -> Hang:
        running = [member for member in self.members if member.code is None]
        fewest = min(member.beats for member in running)
        behind = [member for member in running if member.beats == fewest]
        written = self._write_stacks(path, running)
        stopped = [member for member in behind if member.stopped]
        ranks = tuple(member.rank for member in stopped or behind)
        return Hang(ranks, bool(stopped), seconds, path if written else None)

    def _write_stacks(self, path: Path, members: Sequence[Member]) -> bool:
        """Append the stacks of some ranks to a file, and return whether there are any; a full disk is no reason to hang on."""
        for member in members:
            member.show_stack()
        begun = time.monotonic()
        heard = {member.rank: "" for member in members}
        while time.monotonic() - begun < _STACKS_SECONDS:
            time.sleep(_QUIET_SECONDS)
            if self._others is not None:
                self._others.hear()
            new = {member.rank: member.stack() for member in members}
            if new == heard and all(heard.values()):
                break
            heard = new
        with suppress(OSError), durable.open_log(path) as file:
            for member in members:
                where = "" if member.host is None else f" on {member.host}"
                durable.append_line(file, f"rank {member.rank}{where}:\n{heard[member.rank] or 'it did not answer'}\n")
            return any(heard.values())
        return False

    def kill(self) -> None:
        """End all workers at once, with whatever they started."""
        self._killed_at = self._killed_at or time.monotonic()
        for member in self.members:
            member.kill()
        for member in self.members:
            if isinstance(member, LocalWorker):
                member.process.wait()

    def close(self) -> None:
        """Leave nothing behind: no process, no descriptor."""
        self.kill()
        for member in self.members:
            member.close()


def _hear(selector: selectors.BaseSelector, seconds: float) -> bool:
    ready = selector.select(seconds)
    for key, _ in ready:
        key.data()
    return bool(ready)
