"""The fixed schedule: one rate, annealed by epochs where asked. Config and formula in one torch-free module."""

from __future__ import annotations

from pydantic import Field

from specforge.plugin import LRSchedulerConfig, Progress, Schedule


class FixedConfig(LRSchedulerConfig):
    """A constant rate, after a linear warm-up if asked; from epoch `force_anneal` on it shrinks with every epoch.

    Source: fairseq's scheduler `fixed`, with a single learning rate.
    """

    force_anneal: int | None = Field(
        default=None, ge=1, description="first epoch with a smaller rate; none: never smaller"
    )
    lr_shrink: float = Field(default=0.1, gt=0.0, lt=1.0, description="factor of every epoch from force_anneal on")
    warmup_updates: int = Field(
        default=0, ge=0, description="updates over which the rate rises linearly to the full one"
    )


def build(config: FixedConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: annealing and warm-up.
        peak_lr: rate before any annealing (`optimizer.lr`).

    Returns:
        In epoch e with u updates done: `peak · shrink^(e + 1 - force_anneal)` from e = force_anneal on and `peak` before,
        times `(u + 1) / warmup_updates` during the warm-up.
    """

    def rate(progress: Progress) -> float:
        lr = peak_lr
        if config.force_anneal is not None and progress.epoch >= config.force_anneal:
            lr *= config.lr_shrink ** (progress.epoch + 1 - config.force_anneal)
        if progress.updates < config.warmup_updates:
            lr *= (progress.updates + 1) / config.warmup_updates
        return lr

    return rate
