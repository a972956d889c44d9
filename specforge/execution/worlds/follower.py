"""The other ranks of a given world: they do nothing but what rank 0 says, and look after a worker of their own."""

from __future__ import annotations

import selectors
import signal
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, cast

from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.execution.processes.local import LocalWorker, start
from specforge.execution.processes.team import GRACE_SECONDS
from specforge.execution.signals import StopRequest
from specforge.execution.workers import WORKER, available_threads
from specforge.execution.worlds.board import Board, Message
from specforge.execution.worlds.given import GivenWorld, this_host
from specforge.foundation import durable
from specforge.foundation.errors import SpecforgeError, StepFailedError
from specforge.foundation.events import Event

_POLL_SECONDS: Final = 0.1
_BEATS_SECONDS: Final = 0.5
_STACK_SECONDS: Final = 1.0
_LEADER_SECONDS: Final = 2.0  # for rank 0 to say why, before a launcher ends all for the failure of one


class Follower:
    """A process of another rank than 0.

    Args:
        world: this process among all.
        board: where rank 0 is reached.
        stop: requests to stop.
    """

    def __init__(self, world: GivenWorld, board: Board, stop: StopRequest) -> None:
        self._world = world
        self._board = board
        self._stop = stop
        self._attempt = -1
        self._worker: LocalWorker | None = None
        self._code: int | None = None
        self._deadline: float | None = None
        self._beats = 0  # as rank 0 knows them
        self._beats_at = 0.0
        self._stack_at: float | None = None

    def follow(self) -> int:
        """Do what rank 0 says, and return the exit code that it names.

        Raises:
            SpecforgeError: rank 0 is gone, or a request to stop was not answered.
        """
        self._board.send({"hello": this_host(), "rank": self._world.rank})
        with ExitStack() as opened, selectors.DefaultSelector() as selector:
            opened.callback(self._drop_worker)
            selector.register(self._board, selectors.EVENT_READ)
            while self._code is None:
                for key, _ in selector.select(_POLL_SECONDS):
                    if key.fileobj is self._board:
                        for message in self._board.receive():
                            self._obey(message, selector)
                    else:
                        key.data(selector, _unheard)
                self._look_after_worker(selector)
                self._mind_stop()
        if self._code:
            time.sleep(_LEADER_SECONDS)
        return self._code

    def _obey(self, message: Message, selector: selectors.BaseSelector) -> None:
        match message:
            case {"do": "train", "job": str(job), "log": str(log)}:
                self._drop_worker()
                self._start(Job.model_validate_json(job), Path(log), selector)
            case {"do": "end", "code": int(code)}:
                self._code = code
            case {"do": str(order), "rank": rank, "attempt": attempt} if self._worker is not None:
                if (rank, attempt) == (self._world.rank, self._attempt):
                    self._order(self._worker, order, message)

    def _order(self, worker: LocalWorker, order: str, message: Message) -> None:
        if order == "kill":
            worker.kill()
        elif order == "stack":
            worker.show_stack()
            self._stack_at = time.monotonic() + _STACK_SECONDS
        elif order == "signal":
            worker.signal(signal.Signals(int(str(message["number"]))))

    def _start(self, job: Job, log: Path, selector: selectors.BaseSelector) -> None:
        self._attempt, self._beats = job.attempt, 0
        missing = next((folder for folder in job.needs.values() if not Path(folder).is_dir()), None)
        if missing is not None:
            self._ended(1, self._unseen(missing))
            return
        mine = job.model_copy(
            update={
                "rank": self._world.rank,
                "local_rank": self._world.device,
                "threads": available_threads(self._world.local_size),
            }
        )
        with closing(durable.open_log(log)) as printed:
            self._worker = start(mine, WORKER, printed.fileno())
        selector.register(self._worker.events, selectors.EVENT_READ, self._worker.hear)

    def _unseen(self, folder: str) -> SpecforgeError:
        return StepFailedError(
            "SF667",
            f"rank {self._world.rank} on {this_host()} does not see {folder}",
            help="the store must lie in a file system that all machines share, under the same path",
        )

    def _look_after_worker(self, selector: selectors.BaseSelector) -> None:
        worker, now = self._worker, time.monotonic()
        if worker is None:
            return
        worker.pulse()
        if now >= self._beats_at and worker.beats > self._beats:
            self._beats_at, self._beats = now + _BEATS_SECONDS, worker.beats
            self._say({"beats": worker.beats})
        if self._stack_at is not None and now >= self._stack_at:
            self._stack_at = None
            self._say({"stack": worker.stack(), "stopped": worker.stopped})
        if worker.code is not None:
            while any(key.fd == worker.events for key, _ in selector.select(0)):
                worker.hear(selector, _unheard)
            if worker.events in selector.get_map():  # what it started has the pipe too
                selector.unregister(worker.events)
            self._ended(worker.code, worker.error)
            self._drop_worker()

    def _ended(self, code: int, error: SpecforgeError | None) -> None:
        self._say({"ended": code, "error": None if error is None else cast("JsonValue", error.record())})

    def _say(self, message: Message) -> None:
        self._board.send({**message, "rank": self._world.rank, "attempt": self._attempt})

    def _mind_stop(self) -> None:
        """Pass a request to stop on, and do not wait for ever for what rank 0 makes of it."""
        if self._stop.count and self._deadline is None:
            self._deadline = time.monotonic() + GRACE_SECONDS
            if self._worker is not None:
                self._worker.signal(signal.SIGTERM)
        if self._deadline is not None and (self._stop.count > 1 or time.monotonic() >= self._deadline):
            raise self._stop.error()

    def _drop_worker(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.close()
            self._worker = None


def _unheard(_event: Event) -> None:
    """Only rank 0 has something to tell."""
