"""Events on their way to the runner: whole lines, in order, progress no faster than a terminal."""

from __future__ import annotations

import io
import os

import pytest

from specforge.foundation.errors import WrongInputError
from specforge.foundation.events import ErrorEvent, Event, MessageEvent, ProgressEvent, RecordEvent, decode_event
from specforge.steps import reporting
from specforge.steps.reporting import PipeReporter


class Clock:
    """Seconds that pass when the test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reporting, "time", clock)
    return clock


def told(pipe: io.BytesIO) -> list[Event]:
    return [decode_event(line) for line in pipe.getvalue().decode().split("\n") if line]


@pytest.mark.usefixtures("clock")
def test_every_kind_of_event_comes_through() -> None:
    pipe = io.BytesIO()
    reporter = PipeReporter(pipe)
    error = WrongInputError("SF501", "no such file")

    reporter.progress(1, 10, "lines", loss=0.5)
    reporter.record("train", update=3)
    reporter.message("a line\nwith an end")
    reporter.warning("odd")
    reporter.error(error.record())

    assert [
        ProgressEvent(1, 10, "lines", {"loss": 0.5}),
        RecordEvent("train", {"update": 3}),
        MessageEvent("info", "a line\nwith an end"),
        MessageEvent("warning", "odd"),
        ErrorEvent(error.record()),
    ] == told(pipe)


def test_progress_is_thinned_out_but_for_the_end(clock: Clock) -> None:
    pipe = io.BytesIO()
    reporter = PipeReporter(pipe)

    for done, seconds in ((1, 0.0), (2, 0.05), (3, 0.06), (4, 0.01), (5, 0.0)):
        clock.now += seconds
        reporter.progress(done, 5, "lines")

    assert [1, 3, 5] == [event.done for event in told(pipe) if isinstance(event, ProgressEvent)]


@pytest.mark.usefixtures("clock")
def test_a_pipe_that_takes_little_at_once_gets_the_whole_line() -> None:
    class Narrow(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            return super().write(data[:7])

    pipe = Narrow()
    PipeReporter(pipe).message("x" * 100)

    assert [MessageEvent("info", "x" * 100)] == told(pipe)


def test_a_runner_that_is_gone_is_an_error_of_the_system() -> None:
    source, end = os.pipe()
    os.close(source)
    with os.fdopen(end, "wb", buffering=0) as pipe, pytest.raises(BrokenPipeError):
        PipeReporter(pipe).message("anybody?")
