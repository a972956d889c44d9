"""Restarts: a training that lost a worker goes on from its last checkpoint, as long as that leads somewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from specforge.execution.processes.blame import LostWorkerError
from specforge.execution.signals import StopRequest
from specforge.foundation.errors import SpecforgeError, noted

_RESTARTS: Final = "`run.max_restarts`"


def run_with_restarts(
    attempt: Callable[[int], None],
    most: int,
    saved: Callable[[], int],
    stop: StopRequest,
    announce: Callable[[str], None],
) -> None:
    """Run attempts until one ends by itself.

    Only a worker that died or hung is worth another attempt; what a worker says it failed of would come again. So would a
    crash at the same update: there is no further attempt when one neither saved a checkpoint nor got further than those
    before it.

    Args:
        attempt: given the number of the attempt, from 0.
        most: how many restarts are allowed.
        saved: returns the number of updates that the newest checkpoint holds.
        stop: requests to stop; none is followed by another attempt.
        announce: told of each restart.

    Raises:
        SpecforgeError: how the last attempt ended.
    """
    furthest = -1
    restarts = 0
    while True:
        begin = saved()
        try:
            attempt(restarts)
        except LostWorkerError as error:
            stop.check()
            now, reached = saved(), begin + error.updates
            if now <= begin and reached <= furthest:
                raise _given_up(error, f"it was there at the attempt before too, at update {reached:,}") from error
            if restarts == most:
                raise _given_up(error, _exhausted(most)) from error
            furthest = max(furthest, reached)
            restarts += 1
            place = f"from update {now:,}" if now else "from the beginning"
            told = "; ".join((error.message, *error.notes[:1])) if error.code == "SF665" else error.message
            announce(f"{told}; training goes on {place} (restart {restarts:,} of {most:,})")
        else:
            return


def _exhausted(most: int) -> str:
    if most == 0:
        return f"{_RESTARTS} is 0"
    return f"training was restarted {most:,} time{'s' if most > 1 else ''} before, as {_RESTARTS} allows"


def _given_up(error: LostWorkerError, reason: str) -> SpecforgeError:
    return noted(error, f"it is not restarted: {reason}")
