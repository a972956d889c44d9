"""A function applied to a stream of messages by several processes, results in the order of the messages.

Messages are bytes. Processes are forked, so that they have what the function refers to without sending it; each gets its next
message as soon as it has answered, and an answer waits until its turn comes. Memory is bounded by a few messages a process, and
the results do not depend on how many processes there are.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import TracebackType
from typing import Final, Self, cast

from specforge.foundation.errors import SpecforgeError, StepFailedError, from_record
from specforge.foundation.orphans import die_with_parent

_RESULT: Final = b"r"
_ERROR: Final = b"e"

_AHEAD: Final = 4
"""Messages for each process that are read before their turn has come: as many go past one that takes long."""


class ForkedPool:
    """Processes that answer messages, started one by one as there are messages for them; a context that ends them.

    Args:
        work: from a message to its answer; called in this process when `processes` is 1, else in forked ones.
        processes: how many work.
        task: what they do, in words: `cuts text`.
        remedy: what to lower when one dies for want of memory.
        begin: called in a forked process, before its first answer, with its number from 0.
    """

    def __init__(
        self,
        work: Callable[[bytes], bytes],
        processes: int,
        task: str,
        remedy: str,
        begin: Callable[[int], None] | None = None,
    ) -> None:
        self._work = work
        self._begin = begin
        self._processes = processes
        self._task = task
        self._remedy = remedy
        self._pool: list[tuple[ForkProcess, Connection]] = []
        self._busy: dict[Connection, int] = {}  # the number of the message that each works at
        self._stream = object()  # the latest

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes."""
        self.close()

    def close(self) -> None:
        """End all processes; further messages start new ones."""
        pool, self._pool, self._busy = self._pool, [], {}
        for process, connection in pool:
            process.terminate()
            process.join()
            connection.close()

    def map(self, messages: Iterable[bytes]) -> Generator[bytes]:
        """Yield the answer to each message, in order; one stream of messages at a time.

        Args:
            messages: read as answers are taken, at most four a process ahead.

        Raises:
            SpecforgeError: what `work` raised.
            StepFailedError: `work` raised something else (SF632), or a process died (SF631).
        """
        if self._processes == 1:
            yield from map(self._work, messages)
            return
        if self._busy:
            self.close()  # who has an answer that nobody took would give it to the next message
        self._stream = stream = object()
        try:
            yield from self._distribute(messages)
        finally:
            if self._busy and self._stream is stream:
                self.close()

    def _distribute(self, messages: Iterable[bytes]) -> Iterator[bytes]:
        """Give each process its next message as soon as it has answered, but not too far ahead of the slowest."""
        answers: dict[int, bytes] = {}
        idle = [connection for _, connection in self._pool]
        taken = 0
        for number, message in enumerate(messages):
            if not idle and len(self._pool) < self._processes:
                idle.append(self._start())
            ready: list[bytes] = []
            while not idle or number - taken >= _AHEAD * self._processes:
                idle += self._collect(answers)
                while taken in answers:
                    ready.append(answers.pop(taken))
                    taken += 1
            connection = idle.pop()
            self._busy[connection] = number  # before it is sent: an interrupt may come between
            self._send(connection, message)
            yield from map(_result, ready)
        while self._busy or answers:
            if taken in answers:
                yield _result(answers.pop(taken))
                taken += 1
            else:
                self._collect(answers)

    def _collect(self, answers: dict[int, bytes]) -> list[Connection]:
        """Wait for answers, take them in, and return who gave them."""
        done = cast("list[Connection]", wait(list(self._busy)))
        for connection in done:
            answer = self._receive(connection)
            answers[self._busy.pop(connection)] = answer
        return done

    def _start(self) -> Connection:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        others = [connection for _, connection in self._pool]
        begin = None if self._begin is None else partial(self._begin, len(self._pool))
        process = context.Process(target=_serve, args=(self._work, begin, theirs, [*others, ours]), daemon=True)
        process.start()
        theirs.close()  # so that its end shows here as the end of the pipe
        self._pool.append((process, ours))
        return ours

    def _send(self, connection: Connection, message: bytes) -> None:
        try:
            connection.send_bytes(message)
        except BrokenPipeError:
            raise self._died() from None

    def _receive(self, connection: Connection) -> bytes:
        try:
            return connection.recv_bytes()
        except (EOFError, ConnectionResetError):
            raise self._died() from None

    def _died(self) -> StepFailedError:
        self.close()
        return StepFailedError(
            "SF631",
            f"a process that {self._task} died",
            help=f"the system may have ended it for want of memory: lower {self._remedy}",
        )


def _result(answer: bytes) -> bytes:
    """Return what a process answered; an error is raised where its turn has come."""
    if answer[:1] == _ERROR:
        raise from_record(json.loads(answer[1:]))
    return answer[1:]


def ordered_map(
    work: Callable[[bytes], bytes], messages: Iterable[bytes], processes: int, task: str, remedy: str
) -> Generator[bytes]:
    """Yield `work(message)` for each message, in order, from a pool of its own; arguments as those of `ForkedPool`.

    Raises:
        SpecforgeError, StepFailedError: as `ForkedPool.map`.
    """
    with ForkedPool(work, processes, task, remedy) as pool:
        yield from pool.map(messages)


def _serve(
    work: Callable[[bytes], bytes],
    begin: Callable[[], None] | None,
    connection: Connection,
    inherited: Sequence[Connection],
) -> None:
    """Answer messages until the pipe ends; runs in the forked process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:
        other.close()
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        try:
            if begin is not None:
                begin()
                begin = None
            answer = _RESULT + work(message)
        except SpecforgeError as error:
            answer = _ERROR + json.dumps(error.record()).encode()
        except Exception as error:  # noqa: BLE001  # it crosses the border as a record
            traceback.print_exc()
            what = " ".join(f"{type(error).__name__}: {error}".split())
            answer = _ERROR + json.dumps(StepFailedError("SF632", f"unexpected {what}").record()).encode()
        connection.send_bytes(answer)
