"""How a team's end is told: which rank failed first of its own, how, and whether trying again makes sense."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from specforge.execution.processes.member import Member
from specforge.execution.processes.team import Hang
from specforge.execution.signals import StopRequest
from specforge.foundation.errors import ExitCode, SpecforgeError, StepFailedError, noted
from specforge.foundation.terminal import printable

_TAIL_BYTES: Final = 4_096
_TAIL_LINES: Final = 12
_UNEXPECTED: Final = "SF632"
_KILLED_IN_SHELL: Final = 128 + signal.SIGKILL


class LostWorkerError(StepFailedError):
    """A worker died or hung without saying why: the same work may well succeed the next time.

    Args:
        message, notes, help: as for all errors.
        updates: how many updates had been done since the workers were started.
    """

    def __init__(
        self, code: str, message: str, *, notes: tuple[str, ...] = (), help: str | None = None, updates: int = 0
    ) -> None:
        super().__init__(code, message, notes=notes, help=help)
        self.updates = updates


def culprit(members: list[Member]) -> Member | None:
    """Return the rank to blame, or None when all ended well.

    When one rank dies, the others fail because of it. So a rank that was killed by someone else comes first, then one
    with an error that was foreseen, then one that did not expect what it met, then one that we ended ourselves; among equals
    the one that was heard first.
    """

    def blame(member: Member) -> tuple[int, float, int]:
        if member.killed:
            kind = 4
        elif member.error is None:
            kind = 0 if (member.code or 0) < 0 else 3
        else:
            kind = 2 if member.error.code == _UNEXPECTED else 1
        return kind, member.failed_at, member.rank

    return min((member for member in members if member.code != 0), key=blame, default=None)


def failure(
    failed: Member, members: list[Member], world: int, log: Path | None, begin: int, updates: int, stop: StopRequest
) -> SpecforgeError:
    """Return what a team's end means to the user.

    Args:
        failed: the rank to blame.
        members: all ranks that are known.
        world: how many ranks there are.
        log: file with what they printed.
        begin: where in it this attempt begins.
        updates: how many updates they did.
        stop: requests to stop.
    """
    said = failed.error
    if stop.count and (said is None or said.exit_code == ExitCode.STOPPED):
        return stop.error(said)
    if said is None:
        return _died(failed, world, log, begin, updates)
    stopped = said.exit_code == ExitCode.STOPPED
    notes = [f"{name(failed, world)} failed"] if world > 1 and not stopped else []
    if said.code == _UNEXPECTED:
        early = [member for member in members if member.code == 0]
        notes += [f"{name(member, world)} had ended, with exit code 0" for member in early]
        notes += [] if log is None else [f"its traceback is at the end of {log}"]
    return noted(said, *notes)


def hung(hang: Hang, world: int, updates: int) -> LostWorkerError:
    """Return what standing still means to the user."""
    if world == 1:
        who = "the worker"
    elif len(hang.ranks) == 1:
        who = f"rank {hang.ranks[0]} of {world}"
    else:
        who = f"ranks {', '.join(map(str, hang.ranks[:-1]))} and {hang.ranks[-1]} of {world}"
    how = "a signal has stopped it" if hang.stopped else f"nothing has moved for {hang.seconds:.0f} seconds"
    where = "no rank could show its stack" if hang.stacks is None else f"the stacks of all ranks are in {hang.stacks}"
    return LostWorkerError(
        "SF665",
        f"{who} hung: {how}",
        notes=(where,),
        help="`run.hang_timeout` is how long a training may stand still",
        updates=updates,
    )


def name(member: Member, world: int) -> str:
    """Return how a rank is called in messages."""
    where = "" if member.host is None else f" (on {member.host})"
    return f"rank {member.rank} of {world}{where}" if world > 1 else "the worker"


def _died(failed: Member, world: int, log: Path | None, begin: int, updates: int) -> LostWorkerError:
    code = failed.code or 0
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code} and did not say why"
    notes = () if log is None else _tail(log, begin)
    memory = code in {-signal.SIGKILL, _KILLED_IN_SHELL}
    help = "a SIGKILL that nobody sent is the system's, which ran out of memory: `dmesg` names its victims"
    return LostWorkerError(
        "SF631", f"{name(failed, world)} {how}", notes=notes, help=help if memory else None, updates=updates
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(log: Path, begin: int) -> tuple[str, ...]:
    """Return the last lines that a worker printed in this attempt."""
    with log.open("rb") as file:
        file.seek(max(begin, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").strip().split("\n")
    return (f"it printed, in {log}:", *(printable(line) for line in lines[-_TAIL_LINES:])) if lines != [""] else ()
