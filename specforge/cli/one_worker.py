"""What commands have in common that hand one job to a worker and show what it says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from specforge.cli.views.output import note
from specforge.foundation.errors import ExitCode, InterruptedRunError
from specforge.foundation.events import Event, MessageEvent, RecordEvent
from specforge.foundation.terminal import printable

if TYPE_CHECKING:
    from specforge.execution.job import Job


def run_worker(job: Job, on_record: Callable[[RecordEvent], None] | None = None) -> ExitCode:
    """Run a worker to its end and print its messages to standard error.

    Args:
        job: what it does.
        on_record: told of what it reports under a name.

    Returns:
        `DONE`, or `INTERRUPTED` where it was asked to stop.

    Raises:
        SpecforgeError: what the worker met.
    """
    from specforge.execution.signals import stop_requests
    from specforge.execution.workers import Launch, run_workers

    def on_event(event: Event) -> None:
        if isinstance(event, MessageEvent):
            note(printable(event.text, longest=1_000))
        elif on_record is not None and isinstance(event, RecordEvent):
            on_record(event)

    with stop_requests() as stop:
        try:
            run_workers(Launch((job,), log=None), on_event, stop)
        except InterruptedRunError:
            return ExitCode.INTERRUPTED
    return ExitCode.DONE
