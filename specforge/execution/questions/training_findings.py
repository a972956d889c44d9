"""What `specforge test` finds out about the parts that train: model, criterion, optimizer, lr_scheduler."""

from __future__ import annotations

from typing import Literal

from specforge.planning.estimates import Figures


class BatchFigures(Figures):
    """The batch that something was tried on.

    Args:
        items: in it.
        lengths: role → length that the batch is padded to.
        target_tokens: targets to predict.
        unit: what they are, in words.
        device: where it was computed: `cpu`, `cuda`.
    """

    items: int
    lengths: dict[str, int]
    target_tokens: int
    device: str
    unit: str = "target tokens"


class ModelPart(Figures):
    """A top-level module of a model.

    Args:
        name: as the model calls it.
        parameters: shared ones with the first part that has them.
        trainable: how many of them are trained.
        gradient: norm of the gradient of the mean loss; None where nothing is trained.
    """

    name: str
    parameters: int
    trainable: int
    gradient: float | None


class ModelFindings(Figures):
    """A model with its first weights on one batch.

    Args:
        batch: the batch.
        parts: the top-level modules.
        idle: trained parameters that the loss gives no gradient.
        loss: mean loss of a target symbol as the criterion says, in nats.
        nll: mean negative log-likelihood of a target symbol, in nats.
        uniform: the same for a model that holds every symbol equally likely: ln(types).
        forward_ms, backward_ms: median milliseconds.
        repeats: how often both were timed.
        target_tokens_per_second: forward and backward.
        memory: bytes by which the process (on a GPU: the device) grew at most, for weights, gradients and activations.
        decoding_difference: largest difference between the log-probabilities of training and of step-by-step decoding;
            None where the model does not decode.
        padding_difference: largest difference between those of an item alone and in a batch.
    """

    kind: Literal["model"] = "model"
    batch: BatchFigures
    parts: list[ModelPart]
    idle: list[str]
    loss: float
    nll: float
    uniform: float
    forward_ms: float
    backward_ms: float
    repeats: int
    target_tokens_per_second: float
    memory: int
    decoding_difference: float | None
    padding_difference: float


class CriterionFindings(Figures):
    """A criterion on one batch, with the model's first weights.

    Args:
        batch: the batch.
        loss, nll: means for a target symbol, in nats.
        uniform: negative log-likelihood where every symbol is equally likely.
        count: what the criterion divides by.
        gradient: norm of the gradient of the mean loss.
        halves_difference: how far the losses of both halves of the batch are from that of the whole, as a share of it.
    """

    kind: Literal["criterion"] = "criterion"
    batch: BatchFigures
    loss: float
    nll: float
    uniform: float
    count: int
    gradient: float
    halves_difference: float


class OptimizerFindings(Figures):
    """An optimizer on one batch, again and again, at the full learning rate.

    Args:
        batch: the batch.
        lr: learning rate.
        losses: mean loss of a target symbol before each update and after the last.
        moved: share of the trained parameters that differ after the first update.
        change: norm of the first update's change, as a share of the norm of the weights.
        state: bytes that the optimizer keeps.
        update_ms: median milliseconds of the optimizer's step.
    """

    kind: Literal["optimizer"] = "optimizer"
    batch: BatchFigures
    lr: float
    losses: list[float]
    moved: float
    change: float
    state: int
    update_ms: float


class RatePoint(Figures):
    """The learning rate of an update; `update` counts from 1, `epoch` is None where the data are not known."""

    update: int
    epoch: int | None
    rate: float
    what: str


class Plateau(Figures):
    """What validations that get no better do to the learning rate.

    Args:
        validations: how many of them in a row, after the best one.
        factor: the rate that follows, as a factor of the one before.
    """

    validations: int
    factor: float


class SchedulerFindings(Figures):
    """A learning-rate schedule over the budget.

    Args:
        updates: how many updates it was asked for.
        peak: `optimizer.lr`.
        highest: the largest rate.
        points: telling updates, in order.
        stops: the update before which `train.stop_min_lr` ends training, or None.
        plateau: what validation does to the rates, which are shown as if it got better each time; None: nothing.
    """

    kind: Literal["lr_scheduler"] = "lr_scheduler"
    updates: int
    peak: float
    highest: float
    points: list[RatePoint]
    stops: int | None
    plateau: Plateau | None = None
