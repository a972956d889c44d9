"""Estimates: what a plan comes to, told before anything runs. A worker makes them (`specforge.steps.estimate`)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Figures(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Spread(_Figures):
    """A number that differs from update to update.

    Args:
        mean: its mean over an epoch.
        most: its maximum.
    """

    mean: float
    most: int


class Memory(_Figures):
    """Peak memory of one device, in bytes.

    Args:
        state: weights, gradients and what the optimizer keeps.
        activations: what a forward and backward pass over the largest micro-batch keep at most.
    """

    state: int
    activations: int


class Estimates(_Figures):
    """What a plan comes to.

    Args:
        parameters: number of parameters; a shared one counts once.
        trainable: how many of them are trained.
        by_part: the parameters of each top-level module; one that several share counts with the first.
        tensors: name of each tensor of the model's state → its shape.
        vocabulary: role → number of types.
        updates_per_epoch: None where the data are not known.
        items_per_update: items of an update.
        target_tokens_per_update: target tokens of an update, ends counted.
        micro_batches_per_update: micro-batches that an update is cut into.
        padding: share of padding in the target tokens that are computed, 0 to 1.
        memory: of one device; None where it cannot be told.
        flop_per_update: floating-point operations of forward and backward over a mean update.
        updates: updates that training will make, as far as its budget says so.
        seconds: expected duration of training, from earlier runs of this host; None where there were none.
        approximate: names of the fields above that rest on a guess or a sample; people see them behind a `≈`.
    """

    parameters: int
    trainable: int
    by_part: dict[str, int]
    tensors: dict[str, list[int]] = Field(default_factory=dict)
    vocabulary: dict[str, int] = Field(default_factory=dict)
    updates_per_epoch: float | None = None
    items_per_update: Spread | None = None
    target_tokens_per_update: Spread | None = None
    micro_batches_per_update: Spread | None = None
    padding: float | None = None
    memory: Memory | None = None
    flop_per_update: float | None = None
    updates: int | None = None
    seconds: float | None = None
    approximate: list[str] = Field(default_factory=list)
