"""Ranks that other processes of `specforge run` look after: asked and heard through the board."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import cast

from specforge.execution.processes.member import Member
from specforge.execution.worlds.board import Board, Message
from specforge.foundation.errors import ErrorRecord, StepFailedError, from_record


@dataclass(slots=True)
class RemoteRank(Member):
    """A rank of another process.

    Args:
        board: where it is reached.
        attempt: number of the attempt that it takes part in.
    """

    board: Board
    attempt: int
    _code: int | None = None
    _beats: int = 0
    _asked_beats: int = 0
    _stack: str = ""

    @property
    def code(self) -> int | None:
        """How it ended."""
        return self._code

    @property
    def beats(self) -> int:
        """How often its heart has beaten, as far as is known."""
        return self._beats

    def pulse(self) -> bool:
        """Return whether its heart has beaten since the last question."""
        moved = self._beats > self._asked_beats
        self._asked_beats = self._beats
        return moved

    def signal(self, number: signal.Signals) -> None:
        """Have it sent a signal."""
        self._tell({"do": "signal", "number": int(number)})

    def kill(self) -> None:
        """Have it ended; what it says of its end is not heard any more."""
        if self._code is None and not self.killed:
            self.killed = True
            self._tell({"do": "kill"})

    def show_stack(self) -> None:
        """Have it say where its threads are."""
        self._tell({"do": "stack"})

    def stack(self) -> str:
        """Return what it has said since."""
        return self._stack

    def close(self) -> None:
        """Do nothing: its own process leaves nothing behind."""

    def hear(self, message: Message) -> None:
        """Take note of what its process says."""
        if message.get("attempt") != self.attempt or message.get("rank") != self.rank:
            return
        match message:
            case {"beats": int(beats)}:
                self._beats = beats
            case {"stack": str(text), "stopped": bool(stopped)}:
                self._stack, self.stopped = text, stopped
            case {"ended": int(code), "error": error}:
                self._code = code
                if error is not None:
                    self.fail_with(from_record(cast("ErrorRecord", error)))

    def lose(self) -> None:
        """Take it for gone: its process did not answer."""
        self.killed = False
        error = StepFailedError(
            "SF667",
            f"rank {self.rank}{'' if self.host is None else f' on {self.host}'} does not answer any more",
            help="its machine or its connection failed; start the run again on machines that answer",
        )
        self.fail_with(error)
        self._code = error.exit_code

    def _tell(self, order: Message) -> None:
        if self._code is None:
            self.board.send({**order, "rank": self.rank, "attempt": self.attempt})
