"""Requests to stop."""

from __future__ import annotations

import os
import signal

import pytest

from specforge.execution.signals import StopRequest, stop_requests
from specforge.foundation.errors import InterruptedRunError, StoppedRunError


def test_signals_are_counted_and_handlers_put_back() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert 2 == stop.count

    assert former is signal.getsignal(signal.SIGTERM)


def test_the_first_signal_says_how_the_run_ends() -> None:
    stop = StopRequest()
    stop.check()
    stop.note(signal.SIGTERM)
    stop.note(signal.SIGINT)

    with pytest.raises(StoppedRunError, match="stopped by SIGTERM"):
        stop.check()


def test_a_pause_ends_with_a_request() -> None:
    stop = StopRequest()
    stop.pause(0.0)
    stop.note(signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        stop.pause(60.0)


def test_a_hang_up_that_the_user_ignores_stays_ignored() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert 0 == stop.count
    finally:
        signal.signal(signal.SIGHUP, former)
