"""The command line's frame: help, unknown commands, and what becomes of every failure."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest

from specforge import __version__
from specforge.cli import main as frame
from specforge.cli.main import COMMANDS, main
from specforge.foundation.errors import CorruptStateError, RefusedError


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """Make `specforge validate` raise what the test puts into `Failing.error`."""

    class Failing(Exception):  # noqa: N818  # a holder, never raised itself
        error: BaseException

    def run(_: argparse.Namespace) -> int:
        raise Failing.error

    def add_parser(subparsers: frame.Subparsers) -> None:
        subparsers.add_parser("validate")

    command = SimpleNamespace(add_parser=add_parser, run=run)
    monkeypatch.setattr("importlib.import_module", lambda _: command)
    return Failing


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])

    shown = capsys.readouterr().out
    assert 0 == caught.value.code
    for name, summary in COMMANDS.items():
        assert name in shown
        assert summary in shown


def test_the_version_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])

    assert f"specforge {__version__}\n" == capsys.readouterr().out


def test_no_command_shows_the_help_and_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main([])
    assert "commands" in capsys.readouterr().out


@pytest.mark.parametrize(("typed", "hint"), [("vallidate", "did you mean `validate`?"), ("x\x1b", "the commands are")])
def test_an_unknown_command_is_met_with_the_nearest(typed: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main([typed])

    shown = capsys.readouterr().err
    assert hint in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_page_with_its_summary(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])

    assert 0 == caught.value.code
    assert f"usage: specforge {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (RefusedError("SF621", "it is locked", help="wait"), 3, "error[SF621]: it is locked"),
        (CorruptStateError("SF613", "it is damaged"), 5, "error[SF613]"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 4, "error[SF602]: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 4, "error[SF601]"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("a\nb"), 6, "error[SF600]: internal error: ValueError: a b"),
    ],
)
def test_failures_become_a_message_and_an_exit_code(
    failing: type[BaseException],
    error: BaseException,
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing.error = error  # type: ignore[attr-defined]

    assert code == main(["validate"])
    shown = capsys.readouterr()
    assert text in shown.err
    assert "Traceback" not in shown.err
    assert "" == shown.out


def test_a_traceback_is_shown_on_request_wherever_it_is_asked_for(
    failing: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.error = ValueError("inside")  # type: ignore[attr-defined]

    for words in (["--debug", "validate"], ["validate", "--debug"]):
        assert 6 == main(words)
        shown = capsys.readouterr().err
        assert "Traceback" in shown
        assert "internal error" in shown


def test_a_reader_that_goes_away_is_no_failure() -> None:
    program = "import sys; from specforge.cli.main import main; sys.exit(main(['components', '--json']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()  # as `| head -0` would
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()

    assert (0, "") == (process.wait(), said)


def started(redirection: str, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line with streams as a shell redirects them."""
    program = "import sys; from specforge.cli.main import main; sys.exit(main())"
    command = shlex.join([sys.executable, "-c", program, *words])
    return subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], env={**os.environ, **environment}, capture_output=True, check=False
    )


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "2>/dev/full", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [(["components", "--json"], 0), (["validate", "absent.toml"], 2)])
def test_streams_that_are_closed_or_full_change_no_exit_code(words: list[str], code: int, redirection: str) -> None:
    done = started(redirection, *words)

    assert code == done.returncode
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr


def test_a_reader_of_messages_that_goes_away_changes_no_exit_code() -> None:
    program = "import sys; from specforge.cli.main import main; sys.exit(main(['validate', 'absent.toml']))"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()

    assert 2 == process.wait()


def test_results_are_utf_8_whatever_the_locale() -> None:
    done = started("", "components", "metric", PYTHONIOENCODING="ascii")

    assert 0 == done.returncode
    assert "Popović" in done.stdout.decode()
