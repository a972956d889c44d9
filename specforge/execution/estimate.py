"""What a plan's model comes to, asked of a worker: it builds the model without memory for its weights and counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from specforge.execution.job import Job
from specforge.execution.signals import StopRequest
from specforge.execution.workers import Launch, run_workers
from specforge.foundation import durable
from specforge.foundation.errors import StepFailedError
from specforge.foundation.events import Event
from specforge.planning.plan import Plan
from specforge.storage import locks
from specforge.storage.store import Store

_ANSWER = "estimate.json"


def estimate(plan: Plan, store: Store, stop: StopRequest) -> Mapping[str, JsonValue] | None:
    """Return the estimates of a plan, or None while the vocabulary that they depend on is not there.

    Returns:
        `parameters`, `trainable`, and `by_part` with the number of each part.

    Raises:
        SpecforgeError: the model cannot be built.
    """
    preprocess, train = plan.step("preprocess"), plan.step("train")
    prepared = store.result("preprocess", preprocess.key)
    if store.manifest("preprocess", preprocess.key) is None:
        return None
    store.create()
    lock = f"estimate-{train.key}"
    with locks.hold(store.lock(lock), "the estimate", wait=True, announce=_ignore, pause=stop.pause) as held:
        scratch = store.scratch(lock)
        try:
            job = Job(
                id="estimate",
                kind="estimate",
                settings=dict(train.settings),
                needs={"preprocess": str(prepared)},
                output=str(scratch),
            )
            run_workers(Launch((job,), scratch / "stderr", (held,)), _ignore, stop)
            answer = json.loads((scratch / _ANSWER).read_bytes())
        except StepFailedError as error:
            raise _without_log(error, scratch) from error
        except FileNotFoundError:
            raise StepFailedError("SF634", f"the worker ended well and did not write `{_ANSWER}`") from None
        finally:
            durable.remove_folder(scratch)
    assert isinstance(answer, dict)
    return answer


def _without_log(error: StepFailedError, scratch: Path) -> StepFailedError:
    """Return an error that names no file of a folder that will be gone when it is read."""
    notes = tuple(note for note in error.notes if str(scratch) not in note)
    if notes == error.notes:
        return error
    help_text = "`run` keeps the log that has its traceback; `plan --no-estimates` does without counting"
    return StepFailedError(
        error.code, f"the parameters cannot be counted: {error.message}", place=error.place, notes=notes, help=help_text
    )


def _ignore(_: str | Event) -> None:
    """Nobody needs to hear about so short a job."""
