"""Rank 0 of a given world: it makes all steps, and has the other processes take part in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from specforge.execution.job import Job
from specforge.execution.signals import StopRequest
from specforge.execution.worlds.board import Board, Message
from specforge.execution.worlds.given import GivenWorld
from specforge.execution.worlds.remote import RemoteRank

_PAUSE_SECONDS: Final = 0.1
_TELL_AFTER: Final = 20  # pauses; a process takes a moment to load
_MOST_NAMED: Final = 8


@dataclass(slots=True)
class Leader:
    """What rank 0 knows of the others.

    Args:
        world: this process among all.
        board: where the others are reached.
        attempts: trainings started, over all steps and restarts.
    """

    world: GivenWorld
    board: Board
    attempts: int = 0
    _hosts: dict[int, str] = field(default_factory=dict)
    _team: tuple[RemoteRank, ...] = ()

    def gather(self, stop: StopRequest, announce: Callable[[str], None]) -> None:
        """Wait until all other processes are there."""
        waited = 0
        self.hear()
        while missing := [rank for rank in range(1, self.world.size) if rank not in self._hosts]:
            if waited == _TELL_AFTER:
                listed = ", ".join(map(str, missing[:_MOST_NAMED])) + (", …" if missing[_MOST_NAMED:] else "")
                announce(f"waiting for rank{'s' if len(missing) > 1 else ''} {listed} of {self.world.size}")
            waited += 1
            stop.pause(_PAUSE_SECONDS)
            self.hear()

    def enlist(self, job: Job, log: Path) -> tuple[RemoteRank, ...]:
        """Have the others start their ranks of a job.

        Args:
            job: of rank 0.
            log: file that takes what they print.
        """
        self._team = tuple(
            RemoteRank(rank, self.board, job.attempt, host=self._hosts[rank]) for rank in range(1, self.world.size)
        )
        self.board.send({"do": "train", "job": job.model_dump_json(), "log": str(log)})
        return self._team

    def fileno(self) -> int:
        """Return the descriptor that has something to read when the others have said something."""
        return self.board.fileno()

    def hear(self) -> None:
        """Take note of what the others say."""
        for message in self.board.receive():
            self._note(message)

    def lose_silent_ones(self) -> None:
        """Take those for gone that have not said how they ended."""
        for member in self._team:
            if member.code is None:
                member.lose()

    def _note(self, message: Message) -> None:
        match message:
            case {"hello": str(host), "rank": int(rank)}:
                self._hosts[rank] = host
            case _:
                for member in self._team:
                    member.hear(message)

    def end(self, code: int) -> None:
        """Have the others end with this exit code."""
        self.board.send({"do": "end", "code": code})
        self.board.close()
