"""SIGTERM in a process of its own: it asks, however often it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from specforge.training.stopping import stop_on_sigterm

_WAITING = """
import time
from specforge.training.stopping import stop_on_sigterm
with stop_on_sigterm() as request:
    for word in ("ready", "asked"):
        request.made = False
        print(word, flush=True)
        while not request.made:  # no signal.pause(): the signal may have come just before it
            time.sleep(0.01)
    print("saved", flush=True)
"""


def test_the_first_sigterm_only_asks() -> None:
    former = signal.getsignal(signal.SIGTERM)

    with stop_on_sigterm() as request:
        before = request.made
        os.kill(os.getpid(), signal.SIGTERM)
        assert (False, True) == (before, request.made)

    assert former is signal.getsignal(signal.SIGTERM)


def test_a_second_sigterm_does_not_cut_the_save_short() -> None:
    # a batch system signals the runner and its workers, and the runner passes its own signal on
    with subprocess.Popen([sys.executable, "-c", _WAITING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in ("ready", "asked"):
            assert line == process.stdout.readline().strip()
            process.send_signal(signal.SIGTERM)

        assert "saved" == process.stdout.readline().strip()
        assert 0 == process.wait(timeout=30)
