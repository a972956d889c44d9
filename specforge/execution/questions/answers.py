"""Questions to a worker that come back through its pipe: nothing is written, so that a store that can only be read will do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from specforge.execution.job import Job
from specforge.execution.signals import StopRequest
from specforge.execution.workers import Launch, run_workers
from specforge.foundation.errors import SpecforgeError, StepFailedError
from specforge.foundation.events import Event, RecordEvent

_NO_LOG: Final = Path(os.devnull)


def answer(job: Job, stop: StopRequest) -> str:
    """Run a worker and return its answer: the JSON in the record that is called like the job's kind.

    Raises:
        SpecforgeError: what the worker met; it names no log, which there is none of.
    """
    answers: list[str] = []

    def on_event(event: Event) -> None:
        if isinstance(event, RecordEvent) and event.name == job.kind:
            answers.append(str(event.values["json"]))

    try:
        run_workers(Launch((job,), _NO_LOG), on_event, stop)
    except SpecforgeError as error:
        raise without_log(error, _NO_LOG) from error
    if not answers:
        raise StepFailedError("SF634", f"the worker ended well and gave no answer ({job.kind})")
    return answers[-1]


def without_log(error: SpecforgeError, gone: Path) -> SpecforgeError:
    """Return an error that names no file at or in a place where nobody can look."""
    notes = tuple(note for note in error.notes if str(gone) not in note)
    return type(error)(error.code, error.message, place=error.place, notes=notes, help=error.help)
