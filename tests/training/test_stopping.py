"""SIGTERM in a process of its own: the first one asks, the second one ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from specforge.training.stopping import stop_on_sigterm

_WAITING = """
import signal
from specforge.training.stopping import stop_on_sigterm
with stop_on_sigterm() as request:
    print("ready", flush=True)
    while not request.made:
        signal.pause()
    print("asked", flush=True)
    signal.pause()
"""


def test_the_first_sigterm_only_asks() -> None:
    former = signal.getsignal(signal.SIGTERM)

    with stop_on_sigterm() as request:
        before = request.made
        os.kill(os.getpid(), signal.SIGTERM)
        assert (False, True) == (before, request.made)

    assert former is signal.getsignal(signal.SIGTERM)


def test_the_second_sigterm_ends_the_process() -> None:
    with subprocess.Popen([sys.executable, "-c", _WAITING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in ("ready", "asked"):
            assert line == process.stdout.readline().strip()
            process.send_signal(signal.SIGTERM)

        assert -signal.SIGTERM == process.wait(timeout=30)
