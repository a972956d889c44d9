"""Carries messages between the machines of a training: lines from standard input go to the others, theirs to standard output.

Rank 0 speaks to all others, and they to rank 0. A launcher like torchrun serves a store for this; where none does, rank 0
serves one, at the master's address and no other.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from torch._C._distributed_c10d import PrefixStore, Store, TCPStore  # where their types are

from specforge.foundation.orphans import die_with_parent

_JOINING: Final = timedelta(minutes=5)
_PAUSE_SECONDS: Final = 0.05
_LEAVING_SECONDS: Final = 5.0
_LEFT: Final = "left"
_MOST_BYTES: Final = 1 << 16


class _Mail:
    """The numbered letters of this process, to and from.

    Args:
        store: where they lie.
        rank: number of this process.
    """

    def __init__(self, store: Store, rank: int) -> None:
        self._store = store
        self._main = rank == 0
        self._sent = 0
        self._received = 0

    def send(self, line: str) -> None:
        """Send one letter."""
        self._sent = self._sent + 1 if self._main else self._store.add("to-main", 1)
        self._store.set(f"{'to-all' if self._main else 'to-main'}/{self._sent}", line)

    def receive(self) -> list[str]:
        """Return the letters that have come."""
        lines = []
        while self._store.check([key := f"{'to-main' if self._main else 'to-all'}/{self._received + 1}"]):
            lines.append(self._store.get(key).decode())
            self._received += 1
        return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry messages until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m specforge.steps.messenger", description="Carries messages.")
    parser.add_argument("--master", required=True, help="host:port of the store")
    parser.add_argument("--rank", type=int, required=True, help="number of this process")
    parser.add_argument("--size", type=int, required=True, help="number of all processes")
    parser.add_argument("--label", required=True, help="keeps apart what does not belong together")
    parser.add_argument("--serve", action="store_true", help="rank 0 serves the store")
    told = parser.parse_args(arguments)
    die_with_parent()
    try:
        store = PrefixStore(
            f"specforge/messages/{told.label}", _opened(told.master, serve=told.serve and told.rank == 0)
        )
        _carry(_Mail(store, told.rank))
        _leave(store, told.size, stays=told.serve and told.rank == 0)
    except (OSError, RuntimeError) as error:  # torch's network errors are RuntimeErrors
        reason = str(error).partition("\n")[0]
        _say(json.dumps({"lost": f"{told.master}: {reason}"}))
        return 1
    return 0


def _opened(master: str, *, serve: bool) -> Store:
    host, _, port = master.rpartition(":")
    if not serve:
        return TCPStore(host, int(port), is_master=False, timeout=_JOINING)
    # Left to itself, the store would listen at every address of this machine.
    listening = socket.create_server((socket.gethostbyname(host), int(port)))
    return TCPStore(
        host, int(port), is_master=True, wait_for_workers=False, master_listen_fd=listening.detach(), timeout=_JOINING
    )


def _carry(mail: _Mail) -> None:
    rest = b""
    while True:
        ready, _, _ = select.select([sys.stdin.fileno()], [], [], _PAUSE_SECONDS)
        if ready:
            chunk = os.read(sys.stdin.fileno(), _MOST_BYTES)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                mail.send(line.decode())
            if not chunk:
                return
        for letter in mail.receive():
            _say(letter)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _leave(store: Store, size: int, *, stays: bool) -> None:
    """Say that this process has heard all, and serve the others until they have."""
    store.add(_LEFT, 1)
    begun = time.monotonic()
    while stays and store.add(_LEFT, 0) < size and time.monotonic() - begun < _LEAVING_SECONDS:
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
