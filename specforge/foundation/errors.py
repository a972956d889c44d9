"""The exception tree and the exit codes. Everything a user can cause or meet ends in one of these, never in a traceback.

SpecforgeError
├── WrongInputError        2    the spec or a data file is wrong
├── RefusedError           3    locked by another run, changed input or version, plugin conflict
├── EnvironmentFaultError  4    disk full, permission, missing device
├── CorruptStateError      5    a result or checkpoint does not match its manifest; nothing was deleted
├── StepFailedError        6    a step failed in a way that is none of the above (names rank, plugin or hook)
├── InterruptedRunError  130    Ctrl-C
└── StoppedRunError      143    stopped by SIGTERM, state saved
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final, TypedDict


class ExitCode(IntEnum):
    """What the process tells its caller."""

    DONE = 0
    DIFFERENT = 1
    WRONG_INPUT = 2
    REFUSED = 3
    ENVIRONMENT = 4
    CORRUPT = 5
    STEP_FAILED = 6
    INTERRUPTED = 130
    STOPPED = 143


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a file.

    Args:
        path: the file as the user would type it.
        line: from 1, or None for the file as a whole.
        column: from 1, or None for the whole line.
    """

    path: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


class ErrorRecord(TypedDict):
    """A `SpecforgeError` as JSON, to cross from a worker process to the runner."""

    exit_code: int
    code: str
    message: str
    place: tuple[str, int | None, int | None] | None
    notes: list[str]
    help: str | None


class SpecforgeError(Exception):
    """Base of all expected failures.

    Args:
        code: stable code, `SFxxx`.
        message: one lower-case sentence without a final stop that says what is wrong.
        place: the file and line it is about.
        notes: further facts, one sentence each.
        help: what to do instead.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.STEP_FAILED

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Place | None = None,
        notes: tuple[str, ...] = (),
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.notes = notes
        self.help = help

    def record(self) -> ErrorRecord:
        """Return the error as JSON values; `from_record` is the inverse."""
        place = None if self.place is None else (self.place.path, self.place.line, self.place.column)
        return {
            "exit_code": int(self.exit_code),
            "code": self.code,
            "message": self.message,
            "place": place,
            "notes": list(self.notes),
            "help": self.help,
        }


class WrongInputError(SpecforgeError):
    """A data file is wrong (diagnostics of the spec itself are `specforge.language.messages.diagnostics`)."""

    exit_code = ExitCode.WRONG_INPUT


class RefusedError(SpecforgeError):
    """Going on would be unsafe: locked, changed, or in conflict."""

    exit_code = ExitCode.REFUSED


class EnvironmentFaultError(SpecforgeError):
    """The machine does not give what is needed."""

    exit_code = ExitCode.ENVIRONMENT


class CorruptStateError(SpecforgeError):
    """Stored state does not match its manifest."""

    exit_code = ExitCode.CORRUPT


class StepFailedError(SpecforgeError):
    """A step ended without a result."""

    exit_code = ExitCode.STEP_FAILED


class InterruptedRunError(SpecforgeError):
    """The user pressed Ctrl-C."""

    exit_code = ExitCode.INTERRUPTED


class StoppedRunError(SpecforgeError):
    """SIGTERM came; state was saved."""

    exit_code = ExitCode.STOPPED


_BY_EXIT_CODE: Final[dict[int, type[SpecforgeError]]] = {
    int(kind.exit_code): kind
    for kind in (
        WrongInputError,
        RefusedError,
        EnvironmentFaultError,
        CorruptStateError,
        StepFailedError,
        InterruptedRunError,
        StoppedRunError,
    )
}

_ENVIRONMENT_ERRNOS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    }
)


def from_record(record: ErrorRecord) -> SpecforgeError:
    """Rebuild an error that crossed a process border."""
    kind = _BY_EXIT_CODE.get(record["exit_code"], StepFailedError)
    place = None if record["place"] is None else Place(*record["place"])
    return kind(record["code"], record["message"], place=place, notes=tuple(record["notes"]), help=record["help"])


def noted(error: SpecforgeError, *notes: str) -> SpecforgeError:
    """Return an error with further notes, of the kind that its exit code stands for."""
    record = error.record()
    record["notes"] += notes
    return from_record(record)


def from_os_error(error: OSError) -> SpecforgeError:
    """Say what an `OSError` from our own reading or writing means to the user: exit 4, with the path."""
    path = error.filename if isinstance(error.filename, str) else None
    place = None if path is None else Place(path)
    reason = (error.strerror or str(error)).lower()
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return EnvironmentFaultError(
            "SF602", f"the disk is full: {reason}", place=place, help="free some space and run the same command again"
        )
    if error.errno in _ENVIRONMENT_ERRNOS:
        return EnvironmentFaultError("SF601", f"the system refused: {reason}", place=place)
    return EnvironmentFaultError("SF603", f"input or output failed: {reason}", place=place)
