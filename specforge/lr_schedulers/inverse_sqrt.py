"""The inverse square root schedule: config and formula in one torch-free module."""

from __future__ import annotations

from math import sqrt

from pydantic import Field

from specforge.plugin import LRSchedulerConfig, Progress, Schedule


class InverseSqrtConfig(LRSchedulerConfig):
    """Linear warm-up, then decay with the inverse square root of the number of updates.

    Source: Vaswani et al. 2017, section 5.3, in the form that fairseq calls `inverse_sqrt`.
    """

    warmup_updates: int = Field(default=4_000, ge=1, description="updates until the peak is reached")
    warmup_init_lr: float = Field(default=0.0, ge=0.0, description="learning rate of the first update")


def build(config: InverseSqrtConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: warm-up length and first rate.
        peak_lr: rate at the end of the warm-up (`optimizer.lr`).

    Returns:
        With u updates done and w of warm-up: `init + u · (peak - init) / w` for u < w, then `peak · √w / √u`.
    """
    slope = (peak_lr - config.warmup_init_lr) / config.warmup_updates
    decay = peak_lr * sqrt(config.warmup_updates)

    def rate(progress: Progress) -> float:
        if progress.updates < config.warmup_updates:
            return config.warmup_init_lr + progress.updates * slope
        return decay / sqrt(progress.updates)

    return rate
