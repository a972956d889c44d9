"""Faults at chosen moments. Python imports this module at start-up where its folder is on PYTHONPATH.

`SPECFORGE_TEST_KILL` is `EVENT SUBSTRING COUNT MARKER`: at the COUNT-th audit event EVENT one of whose arguments holds
SUBSTRING, the file MARKER is written (so that the test knows that the fault fired) and the process kills itself.

`SPECFORGE_TEST_RAISE` is `EVENT SUBSTRING COUNT EXCEPTION MARKER`: there the exception is raised instead.

With `SPECFORGE_TEST_HANG`, SIGUSR2 makes a process hold the interpreter's lock for good, and SIGALRM makes all that it then
has done in threads take an hour.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def _arm(event: str, substring: str, count: int, marker: str, fault: Callable[[], None]) -> None:
    seen = 0

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if name != event or not any(substring in str(argument) for argument in arguments):
            return
        seen += 1
        if seen == count and not os.path.exists(marker):
            os.close(os.open(marker, os.O_CREAT | os.O_WRONLY))
            fault()

    sys.addaudithook(hook)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _raise(name: str) -> None:
    raise {"OSError": OSError(errno.EIO, "injected"), "RuntimeError": RuntimeError("injected")}[name]


def _hold_lock(*_: object) -> None:
    re.match("(a+)+$", "a" * 64 + "b")  # a match of ages, and none of them lets go of the lock


def _stall_threads(*_: object) -> None:
    submit = ThreadPoolExecutor.submit
    ThreadPoolExecutor.submit = lambda self, *_, **__: submit(self, time.sleep, 3_600)  # type: ignore[method-assign, assignment]


if _wish := os.environ.get("SPECFORGE_TEST_KILL"):
    _event, _substring, _count, _marker = _wish.split(" ")
    _arm(_event, _substring, int(_count), _marker, _die)

if _wish := os.environ.get("SPECFORGE_TEST_RAISE"):
    _event, _substring, _count, _name, _marker = _wish.split(" ")
    _arm(_event, _substring, int(_count), _marker, functools.partial(_raise, _name))

if "SPECFORGE_TEST_HANG" in os.environ:
    signal.signal(signal.SIGUSR2, _hold_lock)
    signal.signal(signal.SIGALRM, _stall_threads)
