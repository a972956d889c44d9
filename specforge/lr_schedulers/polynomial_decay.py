"""The polynomial schedule: config and formula in one torch-free module."""

from __future__ import annotations

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import LRSchedulerConfig, Progress, Schedule


class PolynomialDecayConfig(LRSchedulerConfig):
    """Linear warm-up, then down to `end_learning_rate` along a line, or a curve with another `power`.

    Without `total_num_update` the decay ends at `train.max_updates`: every rate then depends on the budget, and training
    cannot go on from where a smaller one ended.

    Source: fairseq's scheduler `polynomial_decay`; a line is BERT's (Devlin et al. 2019).
    """

    warmup_updates: int = Field(default=0, ge=0, description="updates until the peak is reached, from a rate of 0")
    end_learning_rate: float = Field(default=0.0, ge=0.0, description="rate at the end of the decay and from there on")
    power: float = Field(default=1.0, gt=0.0, description="1: a line; 2: steep at first; 0.5: steep at the end")
    total_num_update: int | None = Field(
        default=None, ge=1, description="updates, the warm-up counted in, until the decay ends; default: max_updates"
    )

    @property
    def horizon_free(self) -> bool:
        """Only with an end of its own."""
        return self.total_num_update is not None

    @model_validator(mode="after")
    def _warmup_before_the_end(self) -> PolynomialDecayConfig:
        """The decay ends after the warm-up."""
        if self.total_num_update is not None and self.total_num_update <= self.warmup_updates:
            raise PydanticCustomError(
                "range",
                "the decay must end after the warm-up",
                {
                    "labels": {
                        "total_num_update": "it ends here",
                        "warmup_updates": "it begins here",
                    },
                    "help": "`total_num_update` counts the updates of the warm-up, too",
                },
            )
        return self


def build(config: PolynomialDecayConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: warm-up, end and power.
        peak_lr: rate at the end of the warm-up (`optimizer.lr`).

    Returns:
        With u updates done, w of warm-up and n in all: `peak · u / w` for u < w, then
        `end + (peak - end) · (1 - (u - w) / (n - w)) ^ power` for u < n, then `end`.
    """
    warmup, end = config.warmup_updates, config.end_learning_rate

    def rate(progress: Progress) -> float:
        updates = progress.updates
        total = progress.max_updates if config.total_num_update is None else config.total_num_update
        if total is None:
            message = "polynomial_decay needs train.max_updates or total_num_update"
            raise ValueError(message)
        if updates < warmup:
            return peak_lr * updates / warmup
        if updates >= max(total, warmup + 1):
            return end
        remaining = 1 - (updates - warmup) / max(total - warmup, 1)
        return end + (peak_lr - end) * float(remaining**config.power)

    return rate
