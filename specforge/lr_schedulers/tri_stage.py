"""The schedule of three stages: config and formula in one torch-free module."""

from __future__ import annotations

from math import isclose
from typing import Annotated, Final

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import LRSchedulerConfig, Progress, Schedule

Share = Annotated[float, Field(ge=0.0, le=1.0)]

_USUAL_SHARES: Final = (0.1, 0.4, 0.5)


class TriStageConfig(LRSchedulerConfig):
    """Linear warm-up, a constant stage, then exponential decay.

    The stages are given in updates or, with `phase_ratio` and where nothing is given, as shares of `train.max_updates`:
    every rate then depends on the budget, and training cannot go on from where a smaller one ended.

    Source: Park et al. 2019 (SpecAugment), section 4.1, in the form that fairseq calls `tri_stage`; its `warmup_steps`,
    `hold_steps` and `decay_steps` are in updates, too.
    """

    warmup_updates: int = Field(default=0, ge=0, description="updates until the peak is reached")
    hold_updates: int = Field(default=0, ge=0, description="updates at the peak")
    decay_updates: int = Field(default=0, ge=0, description="updates until the last rate is reached")
    phase_ratio: tuple[Share, Share, Share] | None = Field(
        default=None,
        description="the same as three shares of max_updates; default: [0.1, 0.4, 0.5] where no stage is given in updates",
    )
    init_lr_scale: float = Field(default=0.01, ge=0.0, description="rate of the first update, as a factor of the peak")
    final_lr_scale: float = Field(default=0.01, gt=0.0, le=1.0, description="last rate, as a factor of the peak")

    @property
    def horizon_free(self) -> bool:
        """Only with stages in updates."""
        return self.shares is None

    @property
    def shares(self) -> tuple[float, float, float] | None:
        """The stages as shares of max_updates; None where they are given in updates."""
        if self.phase_ratio is None and not any((self.warmup_updates, self.hold_updates, self.decay_updates)):
            return _USUAL_SHARES
        return self.phase_ratio

    @model_validator(mode="after")
    def _stages_are_given_once(self) -> TriStageConfig:
        """Either `phase_ratio`, which adds up to 1, or stages in updates."""
        given = [name for name in ("warmup_updates", "hold_updates", "decay_updates") if getattr(self, name)]
        if self.phase_ratio is not None and given:
            raise PydanticCustomError(
                "exclusive",
                f"`phase_ratio` and `{given[0]}` exclude each other",
                {"labels": {"phase_ratio": "these are shares of max_updates", given[0]: "this counts updates"}},
            )
        if self.phase_ratio is not None and not isclose(sum(self.phase_ratio), 1.0):
            raise PydanticCustomError(
                "range",
                "the shares of `phase_ratio` do not add up to 1",
                {"labels": {"phase_ratio": f"these add up to {sum(self.phase_ratio):.6g}"}},
            )
        return self


def build(config: TriStageConfig, peak_lr: float) -> Schedule:
    """Return the schedule.

    Args:
        config: length of the stages, first and last rate.
        peak_lr: rate of the constant stage (`optimizer.lr`).

    Returns:
        With u updates done and stages of w, h and d updates: `init + u · (peak - init) / w` for u < w, `peak` for
        u < w + h, `peak · final_lr_scale ^ (t / d)` with t = u - w - h for t < d, then `peak · final_lr_scale`, where
        `init = peak · init_lr_scale`. A share of `phase_ratio` is rounded down to whole updates.
    """
    first = peak_lr * config.init_lr_scale

    def rate(progress: Progress) -> float:
        warmup, hold, decay = _stages(config, progress.max_updates)
        if progress.updates < warmup:
            return first + progress.updates * (peak_lr - first) / warmup
        decayed = progress.updates - warmup - hold
        if decayed < 0:
            return peak_lr
        share = decayed / decay if decayed < decay else 1.0
        return peak_lr * float(config.final_lr_scale**share)

    return rate


def _stages(config: TriStageConfig, max_updates: int | None) -> tuple[int, int, int]:
    """Return the updates of each stage."""
    if config.shares is None:
        return config.warmup_updates, config.hold_updates, config.decay_updates
    if max_updates is None:
        message = "tri_stage needs train.max_updates or stages in updates"
        raise ValueError(message)
    warmup, hold, decay = (int(max_updates * share) for share in config.shares)
    return warmup, hold, decay
