"""What a training leaves: a model folder for each kind of weights, and its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import JsonValue
from torch import Tensor

from specforge.execution.job import Job
from specforge.foundation import durable
from specforge.foundation.events import Reporter
from specforge.steps.model_folder import write_model_folder
from specforge.steps.pace import report_pace
from specforge.training.checkpoints import Checkpoints
from specforge.training.settings import Outcome
from specforge.training.state import Selection, Validation
from specforge.training.weights import average_weights, read_weights


class TrainingResult:
    """Says how a training ended, and writes what it came to.

    Args:
        job: of the training.
        selection: which validated weights are published.
        checkpoints: where they are.
        prepared: result of the preprocess step, with vocabularies and tokenizer.
        reporter: hears what happens.
        at_work: told of each folder that is on disk: others wait, and must know that something moves.
    """

    def __init__(
        self,
        job: Job,
        selection: Selection,
        checkpoints: Checkpoints,
        prepared: Path,
        reporter: Reporter,
        at_work: Callable[[], None],
    ) -> None:
        self._job = job
        self._selection = selection
        self._checkpoints = checkpoints
        self._prepared = prepared
        self._reporter = reporter
        self._at_work = at_work

    def say_ending(self, outcome: Outcome) -> None:
        """Say why training ended, unless it came to the end of its budget."""
        best = self._selection.best(outcome.state.validations)
        if outcome.ending == "patience" and best is not None:
            metric = self._selection.metric
            self._reporter.message(
                f"training ends, since patience has run out: best is {metric} {best.values[metric]:.2f} after "
                f"{best.updates:,} updates"
            )
        elif outcome.ending == "stop_min_lr":
            self._reporter.message("training ends, since the learning rate is below `train.stop_min_lr`")

    def write(self, outcome: Outcome, last: Mapping[str, Tensor], output: Path) -> None:
        """Write `best/`, `last/`, `average/`, `average_best/` where it is asked for, and `history.json`.

        Args:
            outcome: what training came to.
            last: the last weights, whole.
            output: the private folder of the result.
        """
        state, selected = outcome.state, self._selection
        best = selected.best(state.validations)
        means = {"average": selected.averaged(state.validations)}
        if selected.average_best:
            means["average_best"] = selected.best_averaged(state.validations)
        end: dict[str, JsonValue] = {
            "updates": state.updates,
            "epoch": state.last_epoch,
            "valid": {**outcome.last_values},
        }
        self._write(output / "last", last, end)
        if best is None:
            self._reporter.message(
                "nothing was validated on the way: the last weights are also the best and the average"
            )
            for name in ("best", *means):
                self._write(output / name, last, end)
        else:
            self._write(output / "best", read_weights(self._checkpoints.snapshot_path(best.snapshot)), _facts(best))
            for name, averaged in means.items():
                mean = average_weights(self._checkpoints.snapshot_path(one.snapshot) for one in averaged)
                self._write(output / name, mean, {"averaged_updates": [one.updates for one in averaged]})
        history: dict[str, JsonValue] = {
            "format": 1,
            "best_metric": selected.metric,
            "best_updates": None if best is None else best.updates,
            "ending": outcome.ending,
            "last": end,
            "tokens": state.tokens,
            "validations": [_facts(validation) for validation in state.validations],
        }
        durable.write_json(output / "history.json", history)
        report_pace(self._job, state, self._reporter)

    def _write(self, folder: Path, weights: Mapping[str, Tensor], facts: Mapping[str, JsonValue]) -> None:
        write_model_folder(folder, weights, self._job.settings, self._prepared, facts, self._job.spec)
        self._at_work()


def _facts(validation: Validation) -> dict[str, JsonValue]:
    return {"updates": validation.updates, "epoch": validation.epoch, "valid": {**validation.values}}
