"""The cosine schedule: config and formula in one torch-free module."""

from __future__ import annotations

from math import cos, pi

from pydantic import Field

from specforge.plugin import LRSchedulerConfig, Progress, Schedule


class CosineConfig(LRSchedulerConfig):
    """Linear warm-up, then half a cosine from the peak down to `min_lr`, over and over where a period is given.

    Without `lr_period_updates` the half cosine ends at `train.max_updates`: every rate then depends on the budget, and
    training cannot go on from where a smaller one ended.

    Source: Loshchilov & Hutter 2017 (SGDR), with the options that fairseq's `cosine` has.
    """

    warmup_updates: int = Field(default=0, ge=0, description="updates until the peak is reached")
    warmup_init_lr: float | None = Field(
        default=None, ge=0.0, description="learning rate of the first update; default: min_lr"
    )
    min_lr: float = Field(default=0.0, ge=0.0, description="rate at the end of a period")
    lr_period_updates: int | None = Field(
        default=None, ge=1, description="updates of the first period; default: all from the warm-up to max_updates"
    )
    t_mult: float = Field(default=1.0, ge=1.0, description="factor of the length of every period over the last one's")
    lr_shrink: float = Field(
        default=0.1, gt=0.0, le=1.0, description="factor of peak and min_lr of every period over the last one's"
    )

    @property
    def horizon_free(self) -> bool:
        """Only with a period of its own."""
        return self.lr_period_updates is not None


def build(config: CosineConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: warm-up and periods.
        peak_lr: rate at the end of the warm-up (`optimizer.lr`).

    Returns:
        With u updates done, w of warm-up and i whole periods behind them: `init + u · (peak - init) / w` for u < w, then
        `lo + ½ · (hi - lo) · (1 + cos(π · t / T))`, where t of the period's T updates are done, `lo = min_lr · shrink^i`
        and `hi = peak · shrink^i`. A single period that ends at max_updates stays at `min_lr` from there on.
    """
    warmup = config.warmup_updates
    first = config.min_lr if config.warmup_init_lr is None else config.warmup_init_lr

    def rate(progress: Progress) -> float:
        if progress.updates < warmup:
            return first + progress.updates * (peak_lr - first) / warmup
        done = progress.updates - warmup
        if config.lr_period_updates is None:
            if progress.max_updates is None:
                message = "cosine needs train.max_updates or lr_period_updates"
                raise ValueError(message)
            length = progress.max_updates - warmup
            share = min(1.0, done / length) if length > 0 else 1.0
            return _on_cosine(config.min_lr, peak_lr, share)
        period, share = _period(done, config.lr_period_updates, config.t_mult)
        shrink = config.lr_shrink**period
        return _on_cosine(config.min_lr * shrink, peak_lr * shrink, share)

    return rate


def _period(done: int, length: int, factor: float) -> tuple[int, float]:
    """Return how many periods are over, and which share of the running one is done."""
    if factor == 1.0:
        period, done = divmod(done, length)
        return period, done / length
    period, begun, span = 0, 0.0, float(length)
    while done >= begun + span:  # exact where a logarithm would round to the period before
        period, begun, span = period + 1, begun + span, span * factor
    return period, (done - begun) / span


def _on_cosine(low: float, high: float, share: float) -> float:
    return low + 0.5 * (high - low) * (1 + cos(pi * share))
