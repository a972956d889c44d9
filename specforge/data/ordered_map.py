"""A function applied to a stream of messages by several processes, results in the order of the messages.

Messages are bytes. Processes are forked, so that they have what the function refers to without sending it; chunk *i* goes
to process *i* mod *n*, which gets its next one only after its result was taken. So memory is bounded by two messages a
process, and the results do not depend on how many processes there are.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from specforge.foundation.errors import SpecforgeError, StepFailedError, from_record
from specforge.foundation.orphans import die_with_parent

_RESULT = b"r"
_ERROR = b"e"


def ordered_map(work: Callable[[bytes], bytes], messages: Iterable[bytes], processes: int) -> Generator[bytes]:
    """Yield `work(message)` for each message, in order.

    Args:
        work: called in this process when `processes` is 1, else in forked ones.
        messages: read as results are taken, one or two a process ahead.
        processes: how many work.

    Raises:
        SpecforgeError: what `work` raised.
        StepFailedError: `work` raised something else (SF632), or a process died (SF631).
    """
    if processes == 1:
        yield from map(work, messages)
        return
    pool: list[tuple[ForkProcess, Connection]] = []
    try:
        yield from _distribute(work, messages, processes, pool)
    finally:
        for process, connection in pool:
            process.terminate()
            process.join()
            connection.close()


def _distribute(
    work: Callable[[bytes], bytes],
    messages: Iterable[bytes],
    processes: int,
    pool: list[tuple[ForkProcess, Connection]],
) -> Iterator[bytes]:
    """Start processes as messages come, and send each its next message as soon as its result was taken."""
    busy: deque[Connection] = deque()
    for message in messages:
        if len(pool) < processes:
            pool.append(_start(work, [connection for _, connection in pool]))
            connection, result = pool[-1][1], None
        else:
            connection = busy.popleft()
            result = _receive(connection)
        _send(connection, message)
        busy.append(connection)
        if result is not None:
            yield result
    for connection in busy:
        yield _receive(connection)


def _start(work: Callable[[bytes], bytes], others: Sequence[Connection]) -> tuple[ForkProcess, Connection]:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(work, theirs, [*others, ours]), daemon=True)
    process.start()
    theirs.close()  # so that its end shows here as the end of the pipe
    return process, ours


def _serve(work: Callable[[bytes], bytes], connection: Connection, inherited: Sequence[Connection]) -> None:
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
            answer = _RESULT + work(message)
        except SpecforgeError as error:
            answer = _ERROR + json.dumps(error.record()).encode()
        except Exception as error:  # noqa: BLE001  # it crosses the border as a record
            traceback.print_exc()
            what = " ".join(f"{type(error).__name__}: {error}".split())
            answer = _ERROR + json.dumps(StepFailedError("SF632", f"unexpected {what}").record()).encode()
        connection.send_bytes(answer)


def _send(connection: Connection, message: bytes) -> None:
    try:
        connection.send_bytes(message)
    except BrokenPipeError:
        raise _died() from None


def _receive(connection: Connection) -> bytes:
    try:
        answer = connection.recv_bytes()
    except (EOFError, ConnectionResetError):
        raise _died() from None
    if answer[:1] == _ERROR:
        raise from_record(json.loads(answer[1:]))
    return answer[1:]


def _died() -> StepFailedError:
    return StepFailedError(
        "SF631",
        "a process that cuts text died",
        help="the system may have ended it for want of memory: lower run.workers",
    )
