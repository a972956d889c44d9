"""Kills a process at a chosen moment. Python imports this module at start-up where its folder is on PYTHONPATH.

`SPECFORGE_TEST_KILL` is `EVENT SUBSTRING COUNT MARKER`: at the COUNT-th audit event EVENT one of whose arguments holds
SUBSTRING, the file MARKER is written (so that the test knows that the fault fired) and the process kills itself.
"""

from __future__ import annotations

import os
import signal
import sys


def _arm(event: str, substring: str, count: int, marker: str) -> None:
    seen = 0

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if name != event or not any(substring in str(argument) for argument in arguments):
            return
        seen += 1
        if seen == count and not os.path.exists(marker):
            os.close(os.open(marker, os.O_CREAT | os.O_WRONLY))
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if _wish := os.environ.get("SPECFORGE_TEST_KILL"):
    _event, _substring, _count, _marker = _wish.split(" ")
    _arm(_event, _substring, int(_count), _marker)
