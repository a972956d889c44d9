"""`test SPEC criterion` and `test SPEC optimizer`: a loss on one batch, and an optimizer that lowers it."""

from __future__ import annotations

import time
from math import isfinite, log, sqrt
from statistics import median
from typing import Final

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from specforge.criterions.criterion import Loss
from specforge.data.batch import Batch
from specforge.execution.questions.training_findings import CriterionFindings, OptimizerFindings
from specforge.foundation.errors import StepFailedError
from specforge.language.spec import Registered
from specforge.plugin import OptimizerConfig
from specforge.steps.parts import configured, make_optimizer
from specforge.steps.trial.blame import blame, breach, title
from specforge.steps.trial.workbench import Workbench
from specforge.training.module import TrainingModule
from specforge.training.precision import autocast

_UPDATES: Final = 10
_ITEMS: Final = 16
"""Items of the batch: what is asked for does not depend on its size, and ten updates shall take a second or two."""

_ROUNDING: Final = 1e-6
"""Share of a loss that equal weights may differ by: with and without gradients it is summed in another order."""

_SAME: Final = 1e-3
"""Share by which the sum of two losses may differ from the loss of both: the order of additions."""


def try_criterion(bench: Workbench, warnings: list[str]) -> CriterionFindings:
    """Try the criterion, with the model's first weights.

    Raises:
        StepFailedError: SF142, it raised; SF143, it does not keep its contract; SF633, its value is not finite.
    """
    registered = bench.part("criterion")
    module = bench.module()
    batch = bench.batch(module.model, _ITEMS)
    module.eval()  # dropout would differ between the whole and its halves
    whole = _loss(bench, module, batch, registered)
    mean = whole.total / max(whole.count, 1)
    with blame(registered, "in its backward pass"):
        mean.backward()
    gradient = float(_gradient_norm(module))
    value = float(mean.detach())
    if not (isfinite(value) and isfinite(gradient)):
        message = f"{title(registered)} has a value of {value} and a gradient of {gradient}"
        raise StepFailedError("SF633", message)
    with torch.no_grad():
        halves = [_loss(bench, module, half, registered) for half in _halves(batch)]
    total = float(whole.total.detach())
    difference = abs(sum(float(half.total) for half in halves) - total) / max(abs(total), 1e-9)
    if difference > _SAME or sum(half.count for half in halves) != whole.count:
        what = f"does not add up: two halves of a batch come to {difference:.1%} more or less than the whole"
        raise breach(registered, what, "a criterion returns sums, never means, and padding adds nothing")
    if gradient == 0.0:
        warnings.append("the loss gives the model no gradient at all")
    return CriterionFindings(
        batch=bench.batch_figures(batch),
        loss=value,
        nll=float(whole.nll.detach()) / max(whole.count, 1),
        uniform=log(bench.types),
        count=whole.count,
        gradient=gradient,
        halves_difference=difference,
    )


def try_optimizer(bench: Workbench, warnings: list[str]) -> OptimizerFindings:
    """Have the optimizer learn one batch by heart for a few updates, at the full learning rate.

    Raises:
        StepFailedError: SF142, it raised; SF633, what it makes is not finite.
    """
    registered, config = configured("optimizer", bench.settings["optimizer"])
    assert isinstance(config, OptimizerConfig)
    module = bench.module()
    batch = bench.batch(module.model, _ITEMS)
    module.eval()  # without dropout, so that the losses differ by the weights alone
    parameters = module.trainable()
    with blame(registered, "where it is built"):
        optimizer = make_optimizer(bench.settings["optimizer"], parameters)
    before = [parameter.detach().clone() for _, parameter in parameters]
    losses, seconds, changes = [], [], (0.0, 0.0)
    for turn in range(_UPDATES):
        optimizer.zero_grad(set_to_none=True)
        loss = _loss(bench, module, batch, bench.part("criterion"))
        mean = loss.total / max(loss.count, 1)
        losses.append(float(mean.detach()))
        mean.backward()
        began = time.perf_counter()
        with blame(registered, "in its step"):
            optimizer.step()
        seconds.append(time.perf_counter() - began)
        if turn == 0:
            changes = _changes(before, [parameter.detach() for _, parameter in parameters])
            del before
    with torch.no_grad():
        last = _loss(bench, module, batch, bench.part("criterion"))
    losses.append(float(last.total) / max(last.count, 1))
    if not all(map(isfinite, losses)):
        shown = " → ".join(f"{value:.4g}" for value in losses)
        raise StepFailedError("SF633", f"{title(registered)} drives the loss of one batch to {shown}")
    if changes[0] == 0.0:
        warnings.append("an update changes no weight")
    elif losses[-1] >= losses[0] * (1.0 - _ROUNDING):
        warnings.append(f"{_UPDATES} updates on one batch do not lower its loss: is `lr` too large or too small?")
    return OptimizerFindings(
        batch=bench.batch_figures(batch),
        lr=config.lr,
        losses=losses,
        moved=changes[0],
        change=changes[1],
        state=sum(_bytes(value) for state in optimizer.state.values() for value in state.values()),
        update_ms=1_000 * median(seconds),
    )


def _loss(bench: Workbench, module: TrainingModule, batch: Batch, registered: Registered) -> Loss:
    with blame(registered, "in its forward pass"), autocast(bench.device, bench.train.precision):
        loss: object = module(batch)
    if not isinstance(loss, Loss) or loss.total.dim() != 0 or loss.nll.dim() != 0:
        raise breach(registered, "does not return a `Loss` of single numbers")
    return loss


def _gradient_norm(module: TrainingModule) -> Tensor:
    return get_total_norm([parameter.grad for _, parameter in module.trainable() if parameter.grad is not None])


def _halves(batch: Batch) -> list[Batch]:
    """Return the first and the second half of the items, padded as they are; a single item stays whole."""
    middle = batch.items // 2
    return [batch.rows(0, middle), batch.rows(middle, batch.items)] if middle else [batch]


def _changes(before: list[Tensor], after: list[Tensor]) -> tuple[float, float]:
    """Return the share of numbers that differ, and the norm of the change as a share of the norm before."""
    moved = sum(int((old != new).sum()) for old, new in zip(before, after, strict=True))
    total = sum(old.numel() for old in before)
    change = sum(float((new - old).double().square().sum()) for old, new in zip(before, after, strict=True))
    norm = sum(float(old.double().square().sum()) for old in before)
    return moved / max(total, 1), sqrt(change / norm) if norm else 0.0


def _bytes(value: object) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
