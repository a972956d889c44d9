"""How a training goes, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from specforge.training.non_finite import NonFinitePolicy
from specforge.training.precision import Precision
from specforge.training.state import Limits, Selection, TrainingState

_DRAWN_WITH: Final = frozenset({"device", "max_tokens"})
"""What the random numbers of an update depend on, beside the seed: what draws them, and how it is cut."""


@dataclass(frozen=True, slots=True)
class Every:
    """A distance: a count and what is counted."""

    count: int
    unit: Literal["update", "epoch", "minute"]

    def reached(self, state: TrainingState) -> bool:
        """Return whether training is at such a distance from its beginning; a clock says nothing about that."""
        match self.unit:
            case "update":
                return state.updates > 0 and state.updates % self.count == 0
            case "epoch":
                return state.epoch > 1 and state.position == 0 and (state.epoch - 1) % self.count == 0
            case "minute":
                return False


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """How training goes; names as in `[train]` and `[run]`.

    Args:
        seed: the spec's seed.
        limits: what ends training and may be raised.
        selection: which validated weights are published.
        clip_norm: largest norm of the mean gradient; 0 leaves gradients alone.
        non_finite: what is done about an update that is not finite.
        precision: of the forward passes.
        validate_every: the grid of validations.
        checkpoint_every: how often to save.
        stop_min_lr: training ends when the learning rate falls below it.
        log_every: updates between two records.
        environment: what equal bits depend on beside the spec: versions, devices, threads.
        ema_decay: of the averages that are validated and published in place of the weights; None: there are none.
    """

    seed: int
    limits: Limits
    selection: Selection
    clip_norm: float
    non_finite: NonFinitePolicy
    precision: Precision
    validate_every: Every
    checkpoint_every: Every
    stop_min_lr: float | None
    log_every: int
    environment: Mapping[str, str | int]
    ema_decay: float | None = None

    def other_than(self, before: Mapping[str, str | int]) -> str | None:
        """Say what is other than where a checkpoint was made, and what comes of that; None where all is the same.

        Args:
            before: the environment that the checkpoint was made in.
        """
        changed = sorted(key for key, value in self.environment.items() if before.get(key) != value)
        if not changed:
            return None
        further = "" if _DRAWN_WITH.isdisjoint(changed) else ", and dropout draws other masks from here on"
        return f"other {', '.join(changed)} than before: results may differ in the last bits{further}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What training came to.

    Args:
        state: at its end.
        ending: what ended it: `max_updates`, `max_epochs`, `patience` or `stop_min_lr`.
        last_values: validation figures of the last weights.
    """

    state: TrainingState
    ending: str
    last_values: dict[str, float]
