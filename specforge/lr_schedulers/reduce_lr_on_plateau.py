"""The schedule that listens to validation: config and formula in one torch-free module."""

from __future__ import annotations

from math import inf

from pydantic import Field

from specforge.plugin import LRSchedulerConfig, Progress, Schedule, Validated


class ReduceLROnPlateauConfig(LRSchedulerConfig):
    """Linear warm-up, then a constant rate that shrinks whenever `train.best_metric` has got no better for a while.

    It looks at the validations on the grid of `train.validate_every` after the warm-up.

    Source: PyTorch's `ReduceLROnPlateau` with a relative threshold, as fairseq's `reduce_lr_on_plateau` uses it.
    """

    lr_shrink: float = Field(default=0.1, gt=0.0, lt=1.0, description="factor of the rate at every plateau")
    lr_threshold: float = Field(
        default=1e-4, ge=0.0, lt=1.0, description="share of the best value by which a better one has to be better"
    )
    lr_patience: int = Field(
        default=0, ge=0, description="how many validations in a row may be no better without a smaller rate"
    )
    warmup_updates: int = Field(default=0, ge=0, description="updates until the peak is reached")
    warmup_init_lr: float = Field(
        default=0.0, ge=0.0, description="learning rate of the first update, where there is a warm-up"
    )


def build(config: ReduceLROnPlateauConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: what a plateau is, and what follows; warm-up.
        peak_lr: rate before the first plateau (`optimizer.lr`).

    Returns:
        With u updates done and w of warm-up: `init + u · (peak - init) / w` for u < w, then `peak · lr_shrink ^ n` after n
        plateaus.
    """

    def rate(progress: Progress) -> float:
        if progress.updates < config.warmup_updates:
            share = progress.updates / config.warmup_updates
            return config.warmup_init_lr + share * (peak_lr - config.warmup_init_lr)
        return peak_lr * float(config.lr_shrink ** _plateaus(progress.validations, config))

    return rate


def _plateaus(validations: tuple[Validated, ...], config: ReduceLROnPlateauConfig) -> int:
    """Return how often `lr_patience` + 1 validations in a row brought no new best, each of them counted once."""
    bound, waiting, plateaus = inf, 0, 0
    for validation in validations:
        if validation.updates <= config.warmup_updates:
            continue
        if validation.value < bound:
            bound = validation.value - config.lr_threshold * abs(validation.value)
            waiting = 0
        else:
            waiting += 1
        if waiting > config.lr_patience:
            waiting, plateaus = 0, plateaus + 1
    return plateaus
