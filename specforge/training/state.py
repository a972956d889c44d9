"""What training must remember beside weights and optimizer, and what follows from it.

The state is small and explicit: numbers that say how far training is, and the list of its validations. Which weights are
the best, which are averaged and how long there was no improvement are functions of that list, so they need no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from specforge.plugin import Validated
from specforge.training.loss_scale import LossScaleState


class Validation(BaseModel):
    """One validation on the grid of `train.validate_every`.

    Args:
        updates: updates done.
        epoch: epoch of the last of them.
        values: its figures by name: `loss`, `nll`, `ppl`, `bleu`.
        snapshot: name of the saved weights.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    updates: int
    epoch: int
    values: dict[str, float]
    snapshot: str


class Rollback(BaseModel):
    """One return to an earlier state, after an update that was not finite.

    Args:
        update: number of that update.
        in_epoch: its epoch.
        to: updates done where training went on from.
        epoch: epoch of the first update of the plan that was left out there.
        position: its number in its epoch.
        left_out: how many updates of the plan were left out.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    update: int
    in_epoch: int
    to: int
    epoch: int
    position: int
    left_out: int


class TrainingState(BaseModel):
    """How far training is.

    Args:
        format: version of this form.
        updates: updates done.
        epoch: epoch of the next update, from 1.
        position: number of the next update in its epoch, from 0.
        tokens: what was trained on in all, in the task's cost (target tokens).
        seconds: time spent in updates and validations, over all attempts.
        validations: all validations on the grid, oldest first.
        environment: what equal bits depend on beside the spec: versions, devices, threads.
        skipped: numbers of the updates that were left out because they were not finite, as `train.non_finite` allows.
        rollbacks: all returns to an earlier state for the same reason, oldest first.
        loss_scale: of a training in fp16.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal[1] = 1
    updates: int = Field(default=0, ge=0)
    epoch: int = Field(default=1, ge=1)
    position: int = Field(default=0, ge=0)
    tokens: int = Field(default=0, ge=0)
    seconds: float = 0.0
    validations: list[Validation] = Field(default_factory=list)
    environment: dict[str, str | int] = Field(default_factory=dict)
    skipped: list[int] = Field(default_factory=list)
    rollbacks: list[Rollback] = Field(default_factory=list)
    loss_scale: LossScaleState | None = None

    @property
    def last_epoch(self) -> int:
        """Epoch of the last update; 0 before the first."""
        return self.epoch if self.position > 0 else self.epoch - 1

    @property
    def validated(self) -> bool:
        """Whether the present weights have been validated on the grid."""
        return bool(self.validations) and self.validations[-1].updates == self.updates


@dataclass(frozen=True, slots=True)
class Selection:
    """Which validated weights are published.

    Args:
        metric: `train.best_metric`.
        higher_is_better: its direction.
        average_last: of how many of the last validated weights the average is made.
        average_best: of how many of the best ones another is made; 0 where there is none.
        keep_best: how many of the best ones stay on disk.
    """

    metric: str
    higher_is_better: bool
    average_last: int
    average_best: int = 0
    keep_best: int = 1

    def best(self, validations: Sequence[Validation]) -> Validation | None:
        """Return the best validation; of equal ones the earliest."""
        return min(validations, key=self._value, default=None)

    def judged(self, validations: Sequence[Validation]) -> tuple[Validated, ...]:
        """Return the validations as a schedule sees them."""
        return tuple(Validated(validation.updates, self._value(validation)) for validation in validations)

    def _value(self, validation: Validation) -> float:
        """Return what is to become small."""
        value = validation.values[self.metric]
        return -value if self.higher_is_better else value

    def averaged(self, validations: Sequence[Validation]) -> Sequence[Validation]:
        """Return the last validations, whose weights are averaged."""
        return validations[-self.average_last :]

    def best_averaged(self, validations: Sequence[Validation]) -> Sequence[Validation]:
        """Return the best validations, whose weights are averaged too, in the order of their updates."""
        return self._best(validations, self.average_best)

    def needed(self, validations: Sequence[Validation]) -> set[str]:
        """Return the names of the saved weights without which training cannot go on after these validations."""
        wanted = (self._best(validations, 1), self.averaged(validations), self.best_averaged(validations))
        return {validation.snapshot for some in wanted for validation in some}

    def kept(self, validations: Sequence[Validation]) -> set[str]:
        """Return the names of the saved weights that stay on disk after these validations."""
        return self.needed(validations) | {one.snapshot for one in self._best(validations, self.keep_best)}

    def _best(self, validations: Sequence[Validation], count: int) -> Sequence[Validation]:
        best = sorted(validations, key=self._value)[:count]  # a stable order: of equal ones the earlier comes first
        return sorted(best, key=lambda validation: validation.updates)

    def without_improvement(self, validations: Sequence[Validation]) -> int:
        """Return how many validations there were since the best one."""
        best = self.best(validations)
        return 0 if best is None else len(validations) - 1 - validations.index(best)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may end training and may be raised later; None where there is no limit.

    Args:
        max_updates: updates in all.
        max_epochs: epochs in all.
        patience: validations without a new best.
    """

    max_updates: int | None = None
    max_epochs: int | None = None
    patience: int | None = None

    def reached(self, state: TrainingState, selection: Selection) -> str | None:
        """Return the name of the limit that ends training here, or None."""
        if self.max_updates is not None and state.updates >= self.max_updates:
            return "max_updates"
        if self.max_epochs is not None and state.epoch > self.max_epochs:
            return "max_epochs"
        if self.patience is not None and selection.without_improvement(state.validations) >= self.patience:
            return "patience"
        return None

    def expected(self, state: TrainingState, per_epoch: int) -> int | None:
        """Return the number of updates at the end of the budget.

        Args:
            state: how far training is.
            per_epoch: updates of an epoch; all are taken to be as long.
        """
        if self.max_epochs is None:
            return self.max_updates
        remaining = (self.max_epochs + 1 - state.epoch) * per_epoch - state.position
        expected = state.updates + max(remaining, 0)
        return expected if self.max_updates is None else min(expected, self.max_updates)

    def standing(self, validations: Sequence[Validation], selection: Selection) -> str:
        """Say what the last validation, which is not the best, is measured against, and how much patience is left."""
        best = selection.best(validations)
        if best is None:
            return ""
        said = f"best {selection.metric} {best.values[selection.metric]:.2f} after {best.updates:,}"
        if self.patience is None:
            return said
        left = max(self.patience - selection.without_improvement(validations), 0)
        return f"{said}, patience {left} of {self.patience} left"

    def exceeded(self, state: TrainingState, selection: Selection) -> bool:
        """Return whether training under these limits would have ended before it came to this state."""
        # An update that was not finite was tried, too: with a smaller budget nobody would have gone back because of it.
        updates = max(state.updates, *(rollback.update for rollback in state.rollbacks), 0)
        epoch = max(state.last_epoch, *(rollback.in_epoch for rollback in state.rollbacks), 0)
        if self.max_updates is not None and updates > self.max_updates:
            return True
        if self.max_epochs is not None and epoch > self.max_epochs:
            return True
        return any(
            self.patience is not None
            and selection.without_improvement(state.validations[:count]) >= self.patience
            and state.validations[count - 1].updates < state.updates
            for count in range(1, len(state.validations) + 1)
        )
