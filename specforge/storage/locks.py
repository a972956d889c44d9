"""Locks: one `flock` for each key, so that no step runs twice at once and no lock outlives its holder.

The kernel frees a lock when the last process that has it open is gone. Workers inherit it, so orphans of a killed runner
still keep a second run out until they are gone. What the file says is for messages only; no decision reads it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import JsonValue

from specforge.foundation import durable
from specforge.foundation.errors import RefusedError
from specforge.foundation.terminal import printable

_PAUSE_SECONDS: Final = 0.2
_LONGEST_NOTE: Final = 1_000  # bytes; ours are far shorter


@contextmanager
def hold(
    path: Path,
    what: str,
    *,
    wait: bool,
    announce: Callable[[str], None],
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[int]:
    """Hold a lock for the duration of the block.

    Args:
        path: the lock file, created where it is missing; its folder exists.
        what: what is locked, for messages: `train b83f20d1`.
        wait: whether to wait for another holder or to refuse.
        announce: told for whom we wait, once for each holder.
        pause: sleeps for some seconds; may raise to give up.

    Yields:
        The descriptor that holds the lock; a process that inherits it holds the lock too.

    Raises:
        RefusedError: SF621, another process holds it and `wait` is False.
    """
    told = ""
    while (descriptor := try_lock(path)) is None:
        holder = _holder(path)
        if not wait:
            raise RefusedError(
                "SF621", f"{what} is {holder}", help="try again later, or leave out --no-wait to wait for it"
            )
        if holder != told:
            announce(f"waiting for {what}, {holder}")
            told = holder
        pause(_PAUSE_SECONDS)
    try:
        durable.rewrite(descriptor, durable.json_text(_note()))
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(path: Path) -> int | None:
    """Take a lock and return the descriptor that holds it, or None where another process has it."""
    while True:
        descriptor = durable.open_lock(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was removed or replaced between opening and locking: that lock excludes nobody


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def _note() -> JsonValue:
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%H:%M")}


def _holder(path: Path) -> str:
    """Return who holds a lock, in words; its note may be half written."""
    try:
        note = json.loads(path.read_bytes()[:_LONGEST_NOTE])
        host, pid, since = (printable(str(note[name])) for name in ("host", "pid", "since"))
    except (OSError, ValueError, KeyError, TypeError):
        return "running in another process"
    return f"running on host {host} as pid {pid} since {since}"
