"""What people see while a step runs."""

from __future__ import annotations

import re
from io import StringIO

import pytest

from specforge.execution.progress import PlainDisplay, amount, display, duration, figure, values
from specforge.foundation.events import ProgressEvent, Scalar


def event(done: int, total: int | None = 100, **values: Scalar) -> ProgressEvent:
    return ProgressEvent(done, total, "updates", values)


CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain_lines_come_every_few_seconds_with_the_time_left() -> None:
    times = iter([0.0, 1.0, 3.0, 6.0, 7.0, 12.0])
    stream = StringIO()
    shown = PlainDisplay(stream, lambda: next(times))

    shown.progress("train", event(40))  # resumed: what an earlier run did is no speed
    shown.progress("train", event(42))
    shown.progress("train", event(45, loss=2.5))  # 5 updates in 5 s: 55 are left
    shown.progress("train", event(46))
    shown.progress("train", event(51, None))

    assert stream.getvalue() == ("  train  45/100 updates · 55 s left · loss 2.5\n  train  51 updates\n")


def test_what_a_lost_process_did_is_no_speed_of_the_next_one() -> None:
    times = iter([0.0, 0.0, 40.0, 60.0, 70.0])
    stream = StringIO()
    shown = PlainDisplay(stream, lambda: next(times))

    for done in (0, 80, 20, 30):  # after 40 s it was at 80, and is set back to the checkpoint of update 20
        shown.progress("train", event(done))

    assert stream.getvalue().endswith("  train  20/100 updates\n  train  30/100 updates · 70 s left\n")


def test_each_step_is_timed_by_itself() -> None:
    times = iter([0.0, 0.0, 10.0, 20.0])
    stream = StringIO()
    shown = PlainDisplay(stream, lambda: next(times))
    shown.progress("train", event(90))
    shown.end("train")
    shown.progress("generate", event(0))
    shown.progress("generate", event(50))

    assert "  generate  0/100 updates\n  generate  50/100 updates · 10 s left\n" == stream.getvalue()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_234_567, "1,234,567"),
        (12_345.6, "12,346"),
        (0.123456, "0.1235"),
        (float("nan"), "nan"),
        (None, "none"),
        (True, "true"),
        ("a\x1b[2J", r"a\x1b[2J"),
    ],
)
def test_figures_are_short(value: Scalar, expected: str) -> None:
    assert expected == figure(value)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (59.6, "60 s"), (150, "2 min"), (5_940, "99 min"), (7_500, "2 h 05 min")],
)
def test_lengths_of_time_are_for_people(seconds: float, expected: str) -> None:
    assert expected == duration(seconds)


def test_amounts_name_what_is_counted() -> None:
    assert ("1,000/2,000 updates", "7 updates") == (amount(event(1_000, 2_000)), amount(event(7, None)))


def test_a_file_gets_lines_and_a_terminal_bars() -> None:
    plain, terminal = StringIO(), Terminal()
    for stream in (plain, terminal):
        with display(stream) as shown:
            shown.progress("train[bold]", event(40, loss="[red]1.0"))
            shown.progress("train[bold]", event(50, loss="[red]1.0"))
            shown.line("a line with [markup]")
            shown.end("train[bold]")

    assert "a line with [markup]\n" == plain.getvalue()
    assert "a line with [markup]" in terminal.getvalue()
    assert "40/100 updates" in terminal.getvalue()
    assert "loss [red]1.0" in terminal.getvalue()
    assert "train[bold]" in terminal.getvalue()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (20, "  train"),
        (40, "  train 1,000/100,000 · loss 5.123"),
        (80, "  train 1,000/100,000 updates · loss 5.123 · ppl 166.2 · 12,345 tokens/s"),
        (90, "  train 1,000/100,000 updates · loss 5.123 · ppl 166.2 · 12,345 tokens/s · epoch 12"),
        (100, "  train ━━━━━━━━━━━━━━━━ 1,000/100,000 updates · loss 5.123 · ppl 166.2 · 12,345 tokens/s · epoch 12"),
    ],
)
def test_a_line_holds_whole_figures_as_many_as_fit(
    columns: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    with display(stream) as shown:
        shown.progress("train", event(1_000, 100_000, loss=5.1234, ppl=166.2, tokens_per_second=12_345, epoch=12))

    # what is written over and over is one line, which has not wrapped
    frames = {frame.rstrip() for frame in re.split(r"[\r\n]+", CONTROL.sub("", stream.getvalue())) if frame.strip()}
    assert frames == {expected}
    assert len(expected) <= columns


@pytest.mark.parametrize(("columns", "expected"), [(50, "  cut 40/100"), (80, "  cut ━━━━━━╺━━━━━━━━━ 40/100 updates")])
def test_without_figures_there_is_room_for_a_bar(columns: int, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    with display(stream) as shown:
        shown.progress("cut", event(40))

    frames = {frame.rstrip() for frame in re.split(r"[\r\n]+", CONTROL.sub("", stream.getvalue())) if frame.strip()}
    assert frames == {expected}


def test_a_pipe_gets_no_control_codes() -> None:
    times = iter(range(0, 100, 10))
    stream = StringIO()
    shown = PlainDisplay(stream, lambda: next(times))
    for done in range(4):
        shown.progress("train", event(done, loss=1.0))

    assert stream.getvalue().replace("\n", "").isprintable()


def test_figures_read_as_people_say_them() -> None:
    assert ["12,345 tokens/s", "gradient 1.5", "loss 5.1", "valid bleu 31.2", "{0} 1"] == values(
        {"tokens_per_second": 12_345, "gradient_norm": 1.5, "loss": 5.1, "valid bleu": 31.2, "{0}": 1}
    )
