"""The contract of criterions: sums, never means, so that micro-batches and ranks add up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from specforge.data.batch import Batch
from specforge.models.model import Model


@dataclass(frozen=True, slots=True)
class Loss:
    """What a criterion returns.

    Args:
        total: [] the quantity to minimise, summed over targets, in nats.
        nll: [] negative log-likelihood without smoothing, summed, in nats, detached; for perplexity.
        count: targets summed over; the trainer divides the gradient by the count of the whole update.
    """

    total: Tensor
    nll: Tensor
    count: int


class Criterion(nn.Module, ABC):
    """A loss over the targets of a batch."""

    @abstractmethod
    def forward(self, model: Model, batch: Batch) -> Loss:
        """Return the summed loss of a batch.

        Targets are `batch.targets`; only those that count (`batch.counted`) contribute. So a criterion need not know
        what is predicted: the next symbol, or the label of a text.
        """
