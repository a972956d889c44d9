"""Messages between the processes of `specforge run` that a launcher started, through the store that they meet at.

The store speaks torch's protocol and we do without torch, so a process beside us keeps the connection
(`specforge.steps.messenger`): lines of JSON go in and out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from pydantic import JsonValue

from specforge.execution.worlds.given import GivenWorld
from specforge.foundation.errors import StepFailedError

_COMMAND: Final = (sys.executable, "-P", "-m", "specforge.steps.messenger")
_MOST_BYTES: Final = 1 << 16
_LEAVING_SECONDS: Final = 10.0

Message = Mapping[str, JsonValue]


class Board:
    """Sends to all others from rank 0, and to rank 0 from all others.

    Args:
        world: this process among all.
    """

    def __init__(self, world: GivenWorld) -> None:
        words = ["--master", world.master, "--rank", str(world.rank), "--size", str(world.size)]
        words += ["--label", str(world.restart)] + ([] if world.served else ["--serve"])
        self._process = subprocess.Popen(
            [*_COMMAND, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            env={"TORCH_CPP_LOG_LEVEL": "ERROR", **os.environ},  # or it tells of each lost connection, in C++
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        self._heard = bytearray()
        os.set_blocking(self._output.fileno(), False)

    def fileno(self) -> int:
        """Return the descriptor that has something to read when a message has come."""
        return self._output.fileno()

    def send(self, message: Message) -> None:
        """Send a message; when the connection is gone, `receive` says so."""
        with suppress(BrokenPipeError):
            self._input.write(json.dumps(message).encode() + b"\n")
            self._input.flush()

    def receive(self) -> list[Message]:
        """Return the messages that have come.

        Raises:
            StepFailedError: SF667, the others cannot be reached.
        """
        try:
            chunk = os.read(self._output.fileno(), _MOST_BYTES)
        except BlockingIOError:
            return []
        if not chunk:
            raise StepFailedError("SF667", "the connection to the other machines is gone")
        *lines, rest = (bytes(self._heard) + chunk).split(b"\n")
        self._heard = bytearray(rest)
        messages: list[Message] = [json.loads(line) for line in lines]
        for message in messages:
            if "lost" in message:
                raise StepFailedError("SF667", f"the other machines cannot be reached: {message['lost']}")
        return messages

    def close(self) -> None:
        """Leave, once the others have had the chance to hear what was sent."""
        with suppress(BrokenPipeError):
            self._input.close()
        try:
            self._process.wait(_LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
