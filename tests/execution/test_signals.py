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


def test_a_signal_and_its_echo_are_one_request() -> None:
    """`timeout` sends SIGTERM to the command and then to its group: it must not end a training before it has saved."""
    now = [100.0]
    stop = StopRequest(lambda: now[0])
    for seconds, count in ((0.0, 1), (0.01, 1), (0.2, 1), (0.5, 2), (0.6, 2), (0.8, 3)):
        now[0] = 100.0 + seconds
        stop.note(signal.SIGTERM)
        assert count == stop.count, seconds

    stop.note(signal.SIGINT)  # another one is another request
    assert 4 == stop.count


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
