"""The command `specforge`: finds the command's module, imports only that, and turns every failure into an exit code.

A command is a module of this package with `add_parser(subparsers)` and `run(arguments) -> int`. Its name and summary stand
here, so that `specforge --help` is complete and imports none of them.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

from specforge import __version__
from specforge.cli.views.output import note
from specforge.foundation.errors import ExitCode, SpecforgeError, StepFailedError, from_os_error
from specforge.foundation.terminal import printable, silence, wants_colour

COMMANDS: Final = MappingProxyType(
    {
        "validate": "check specs and show every mistake at once",
        "show": "print the resolved spec as TOML",
        "explain": "say where a value comes from, and why a step runs",
        "plan": "show what would run, and why",
        "run": "run what is not there yet",
        "diff": "compare two specs by meaning",
        "test": "build one component of a spec alone",
        "translate": "translate lines with a trained model",
        "logprob": "say how probable a trained model finds given text",
        "evaluate": "score finished text",
        "export": "write a trained model in another tool's format",
        "lock": "write or renew the lock file of a spec",
        "migrate": "edit a spec to the components that are installed",
        "schema": "print the JSON Schema of specs, installed plugins included",
        "components": "list what a spec may name, with its fields",
        "plugins": "list the installed plugins and their state",
    }
)
"""Name of each command, which is also its module → one line of help."""

_LASTING: Final = frozenset({"run", "translate", "logprob"})
"""Commands that may go on for days."""

if TYPE_CHECKING:
    Subparsers: TypeAlias = argparse._SubParsersAction["CommandParser"]  # noqa: SLF001  # its only name


class CommandParser(argparse.ArgumentParser):
    """The parser of a command. With `mixed`, options may stand before the last of several files: Python's own wants them together."""

    mixed = False

    def parse_known_args(  # type: ignore[override]  # namespaces of other types are of no use to us
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse; see the base class."""
        if not self.mixed:
            return super().parse_known_args(args, namespace)
        self.mixed = False  # both halves of what follows come back here
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self.mixed = True


class Command(Protocol):
    """What a command's module offers."""

    def add_parser(self, subparsers: Subparsers) -> None:
        """Add the command's own parser."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code."""


def start() -> int:
    """Run the command line as the whole of a process, and return its exit code.

    A short command is over before a garbage collection would pay: without any it takes an eighth less time.
    """
    if _LASTING.isdisjoint(sys.argv):
        gc.disable()
    code = main()
    gc.freeze()  # the interpreter would look through all that was imported once more before it ends
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    _prepare_streams()
    # Whoever imports pydantic first would search every installed distribution for plugins of pydantic's own.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    return _guarded(lambda: _dispatch(words), debug=debug)


def _prepare_streams() -> None:
    """Have standard streams to write to, closed ones too, and results in UTF-8 wherever we are: they are TOML and JSON.

    Without this, the next file that is opened would get the number of a stream that the caller closed.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: the one that is missing
            os.set_inheritable(descriptor, True)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def _dispatch(words: Sequence[str]) -> int:
    name = next((word for word in words if not word.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        return _unknown(name)
    command = None if name is None else cast("Command", importlib.import_module(f"specforge.cli.{name}"))
    parser = _parser(name, command)
    arguments = parser.parse_args(words)
    if command is None:
        parser.print_help()
        return ExitCode.WRONG_INPUT
    code = command.run(arguments)
    sys.stdout.flush()  # here, where a reader that has gone away is dealt with
    return code


def _parser(chosen: str | None, command: Command | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="specforge",
        description="An experiment compiler for sequence models.",
        epilog="`specforge COMMAND --help` describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"specforge {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error (with any command)")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=CommandParser)
    for name, summary in COMMANDS.items():
        if name == chosen and command is not None:
            command.add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def _unknown(name: str) -> int:
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"the commands are {', '.join(COMMANDS)}"
    note(f"error: unknown command `{printable(name)}`\n  = help: {hint}")
    return ExitCode.WRONG_INPUT


def _guarded(action: Callable[[], int], *, debug: bool) -> int:
    """Run an action; whatever it raises becomes a message and an exit code, with a traceback only in debugging."""
    try:
        return action()
    except KeyboardInterrupt:
        note("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        silence(sys.stdout)  # who reads our output has seen enough (`| head`)
        return ExitCode.DONE
    except SpecforgeError as error:
        return _failed(error, debug=debug)
    except OSError as error:
        return _failed(from_os_error(error), debug=debug)
    except Exception as error:  # noqa: BLE001  # our own faults too end in one line, unless --debug asks for more
        return _failed(_internal(error), debug=debug)


def _failed(error: SpecforgeError, *, debug: bool) -> int:
    from specforge.language.messages.diagnostics import render_error  # only now: most commands end well

    if debug:
        traceback.print_exc()
    note(render_error(error, colour=wants_colour(sys.stderr)))
    return error.exit_code


def _internal(error: Exception) -> SpecforgeError:
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()))
    return StepFailedError(
        "SF600", f"internal error: {text}", help="run it again with --debug and report what it shows: this is our fault"
    )
