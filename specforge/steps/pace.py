"""How fast a training was, told when it ends, so that the next one's duration can be estimated."""

from __future__ import annotations

from typing import Final

from specforge.execution.job import Job
from specforge.foundation.events import PACE, Reporter
from specforge.steps.estimate import estimates
from specforge.training.state import TrainingState

_SHORTEST: Final = 20.0
"""Seconds of training below which starting up and validating say more than updates do."""


def report_pace(job: Job, state: TrainingState, reporter: Reporter) -> None:
    """Report the floating-point operations of a training that is done, and its seconds; a short one says nothing.

    Validation is in the seconds and not in the operations: who trains again will validate again.
    """
    if state.seconds < _SHORTEST:
        return
    try:
        flop = estimates(job).flop_per_update
    except Exception:  # noqa: BLE001  # the training is done and good; only the next estimate is the poorer for it
        return
    if flop is not None:
        train = job.settings["train"]
        assert isinstance(train, dict)
        reporter.record(
            PACE,
            device=str(state.environment["device"]),
            devices=int(state.environment["devices"]),
            precision=str(train["precision"]),
            seconds=round(state.seconds, 3),
            flop=flop * state.updates,
        )
