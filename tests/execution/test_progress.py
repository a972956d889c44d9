"""What people see while a step runs."""

from __future__ import annotations

from io import StringIO

import pytest

from specforge.execution.progress import PlainDisplay, amount, display, duration, figure, values
from specforge.foundation.events import ProgressEvent, Scalar


def event(done: int, total: int | None = 100, **values: Scalar) -> ProgressEvent:
    return ProgressEvent(done, total, "updates", values)


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

    assert stream.getvalue() == ("  train  45/100 updates · loss 2.5 · 55 s left\n  train  51 updates\n")


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


def test_on_a_narrow_terminal_the_figures_are_cut_and_the_bar_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with display(stream) as shown:
        shown.progress("train", event(1_000, 100_000, loss=5.1234, ppl=166.2, tokens_per_second=12_345, epoch=12))

    assert "1,000/100,000 updates" in stream.getvalue()
    assert "loss 5.1" in stream.getvalue()
    assert "epoch 12" not in stream.getvalue()
    assert "…" in stream.getvalue()


def test_figures_have_short_names_on_the_terminal() -> None:
    assert ["tokens/s 12,345", "gradient 1.5", "loss 5.1"] == values(
        {"tokens_per_second": 12_345, "gradient_norm": 1.5, "loss": 5.1}
    )
