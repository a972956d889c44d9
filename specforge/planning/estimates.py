"""Estimates: what a plan comes to, told before anything runs. A worker makes them (`specforge.steps.estimate`)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Figures(BaseModel):
    """Base of what workers answer with: strict, closed and frozen."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Spread(Figures):
    """A number that differs from update to update.

    Args:
        mean: its mean over an epoch.
        most: its maximum.
    """

    mean: float
    most: int


class Memory(Figures):
    """Peak memory of one device, in bytes.

    Args:
        device: the kind of device that this holds for.
        state: weights, gradients and what the optimizer keeps; with several devices the buffers that gradients are
            exchanged in, too, or with `fsdp` a part of all that and what comes together for a while.
        activations: what forward and backward pass over the largest micro-batch take on top of that, at their peak.
    """

    device: Literal["cpu", "cuda"]
    state: int
    activations: int


class Estimates(Figures):
    """What a plan comes to.

    Args:
        parameters: number of parameters; a shared one counts once.
        trainable: how many of them are trained.
        by_part: the parameters of each top-level module; one that several share counts with the first.
        tensors: name of each tensor of the model's weights, as they are saved → its shape.
        vocabulary: role → number of types.
        updates_per_epoch: updates of an epoch.
        items_per_update: items of an update.
        target_tokens_per_update: what an update counts by `train.batch_tokens`: target tokens, ends counted, or what the
            task counts instead.
        unit: what that is, in words.
        micro_batches_per_update: micro-batches that an update is cut into, over all devices.
        padding: share of padding in the tokens of all columns that are computed, 0 to 1.
        memory: of one device; None where the model computes in a way that cannot be followed without data.
        flop_per_update: floating-point operations of forward and backward over a mean update, all devices together.
        updates: updates at the end of the budget; None where only patience or a learning rate ends training.
        updates_done: how many of them a checkpoint holds already.
        seconds: expected duration of what is left of training, from earlier trainings of this host; None where there
            were none.
        approximate: names of the fields above that rest on a guess or a sample; people see them behind a `≈`.
        notes: what a reader should know of the figures, one sentence each.
    """

    parameters: int
    trainable: int
    by_part: dict[str, int]
    tensors: dict[str, list[int]] = Field(default_factory=dict)
    vocabulary: dict[str, int] = Field(default_factory=dict)
    updates_per_epoch: float | None = None
    items_per_update: Spread | None = None
    target_tokens_per_update: Spread | None = None
    unit: str = "target tokens"
    micro_batches_per_update: Spread | None = None
    padding: float | None = None
    memory: Memory | None = None
    flop_per_update: float | None = None
    updates: int | None = None
    updates_done: int = 0
    seconds: float | None = None
    approximate: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
