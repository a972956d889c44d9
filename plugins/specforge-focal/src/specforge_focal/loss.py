"""The focal loss over the target vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from specforge.criterions.criterion import Criterion, Loss
from specforge.data.batch import Batch
from specforge.models.model import Model
from specforge.plugin import ModelContext
from specforge_focal.config import FocalConfig


class Focal(Criterion):
    """-(1 - p)^γ log p, summed over the targets, where p is the probability of the right symbol.

    Source: Lin et al. 2017, equation 4.

    Args:
        gamma: γ, at least 0.
    """

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, model: Model, batch: Batch) -> Loss:
        """Return the summed loss of a batch; targets that do not count are dropped before the projection."""
        logits = model.project(model.features(batch)[batch.counted])  # [targets, types]
        log_p = target_log_probabilities(logits, batch.targets[batch.counted])
        return Loss(focal(log_p, self.gamma).sum(), -log_p.detach().sum(), batch.target_tokens)


def target_log_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """Return log p of each target, [targets], in float32 at least.

    Args:
        logits: [targets, vocabulary].
        targets: [targets] of int64.
    """
    precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return -functional.cross_entropy(precise, targets, reduction="none")


def focal(log_p: Tensor, gamma: float) -> Tensor:
    """Return -(1 - p)^γ log p of each log p.

    1 - p is kept above zero: at p = 1 the loss is 0, but the slope of (1 - p)^γ is infinite there for γ < 1.
    """
    remainder = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    return -(remainder**gamma) * log_p


def build(config: FocalConfig, context: ModelContext) -> Focal:
    """Return the criterion."""
    del context
    return Focal(config.gamma)
