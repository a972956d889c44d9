"""Tables: aligned lines in a pipe, drawn on a terminal, and never a way to smuggle control characters."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from specforge.cli.views.tables import table


def test_a_pipe_gets_aligned_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "what"), [("adam", "an optimizer"), ("inverse_sqrt", "[bold]")])

    assert (
        "name           what\n"
        "adam           an optimizer\n"
        "inverse_sqrt   [bold]\n"
    ) == capsys.readouterr().out  # fmt: skip


def test_a_terminal_gets_a_table_that_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")

    table(("name", "what"), [("adam", "words " * 12), ("nag", "[bold]")])

    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).split("\n")
    assert max(map(len, lines)) <= 30
    assert 12 == "".join(lines).count("words")
    assert any("[bold]" in line for line in lines)


@pytest.mark.parametrize("terminal", [False, True])
def test_cells_cannot_move_the_cursor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "dumb")

    table(("name",), [("a\x1b[2Jb\nc",)])

    assert "a\\x1b[2Jb\\nc" in capsys.readouterr().out


def test_a_pipe_does_not_pay_for_rich() -> None:
    program = (
        "import sys; from specforge.cli.views.tables import table; table(['a'], [['b']]); print('rich' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "a\nb\nFalse\n" == done.stdout
