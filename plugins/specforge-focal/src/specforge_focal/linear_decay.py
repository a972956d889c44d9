"""The linear schedule: config and formula in one torch-free module."""

from __future__ import annotations

from pydantic import Field

from specforge.plugin import LRSchedulerConfig, Progress, Schedule


class LinearDecayConfig(LRSchedulerConfig):
    """Linear warm-up to the peak, then linear decay to zero at `train.max_updates`.

    Source: the schedule of Devlin et al. 2019, appendix A.2.
    """

    warmup_updates: int = Field(default=0, ge=0, description="updates until the peak is reached")

    @property
    def horizon_free(self) -> bool:
        """The rates aim at the last update."""
        return False


def build(config: LinearDecayConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: length of the warm-up.
        peak_lr: rate at the end of the warm-up (`optimizer.lr`).

    Returns:
        With u updates done, w of warm-up and m in all: `peak · u / w` for u < w, then `peak · (m - u) / (m - w)`, and 0
        from m on.
    """
    warmup = config.warmup_updates

    def rate(progress: Progress) -> float:
        if progress.max_updates is None:
            message = "linear_decay needs train.max_updates: it cannot aim at an end that is given in epochs"
            raise ValueError(message)
        if progress.updates < warmup:
            return peak_lr * progress.updates / warmup
        left = progress.max_updates - progress.updates
        return peak_lr * left / (progress.max_updates - warmup) if left > 0 else 0.0

    return rate
