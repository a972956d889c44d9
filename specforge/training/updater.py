"""One update: the gradients of its micro-batches, their sum over all processes, and the optimizer's step.

The gradient of an update is the sum of the gradients of its micro-batches over all processes, divided by the sum of their
target counts: equal however the update is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from specforge.criterions.criterion import Loss
from specforge.foundation.errors import StepFailedError
from specforge.foundation.seeds import derived_seed
from specforge.training.loading import MicroBatch
from specforge.training.parallel import Parallel, TrainingModule
from specforge.training.precision import Precision, autocast

# As in fairseq and PyTorch; it keeps the factor finite for a gradient of zero.
_CLIP_EPSILON: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did, over all processes.

    Args:
        loss: summed loss, in nats.
        nll: summed negative log-likelihood, in nats.
        count: targets summed over.
        gradient_norm: of the mean gradient, before clipping.
        wishes: for each wish handed to `apply`, whether any process has it.
    """

    loss: float
    nll: float
    count: int
    gradient_norm: float
    wishes: Sequence[bool]


class Updater:
    """Applies updates to a module.

    Args:
        module: model and criterion, on their device.
        optimizer: built for `module.trainable()`.
        parallel: this process among those that train.
        seed: the spec's seed.
        clip_norm: largest norm of the mean gradient; 0 leaves gradients alone.
        precision: of the forward passes.
    """

    def __init__(
        self,
        module: TrainingModule,
        optimizer: Optimizer,
        parallel: Parallel,
        *,
        seed: int,
        clip_norm: float,
        precision: Precision,
    ) -> None:
        self._module = module
        self._replica = parallel.wrap(module)
        self._parameters = [parameter for _, parameter in module.trainable()]
        self._optimizer = optimizer
        self._parallel = parallel
        self._seed = seed
        self._clip_norm = clip_norm
        self._precision = precision

    def apply(self, pieces: Sequence[MicroBatch], lr: float, updates: int, wishes: Sequence[bool]) -> Updated:
        """Apply one update.

        Args:
            pieces: this process's micro-batches.
            lr: its learning rate.
            updates: updates done before it.
            wishes: what this process wishes; all processes learn whether any of them does.

        Raises:
            StepFailedError: SF633, its loss or gradient is not finite; the weights are as they were.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._module.set_num_updates(updates)
        sums = self._accumulate(pieces, updates)
        norm = get_total_norm(self._gradients())
        wished = torch.tensor(wishes, dtype=torch.float64, device=sums.device)
        # One exchange and one wait for the device in every update; all processes decide from the same numbers.
        figures = self._parallel.total(torch.cat([sums, norm.double()[None], wished])).tolist()
        loss, nll, count, norm_sum, *wanted = figures
        gradient_norm = norm_sum / self._parallel.world / max(count, 1.0)
        if not (isfinite(loss) and isfinite(gradient_norm)):
            raise _not_finite(updates + 1, loss, gradient_norm)
        self._step(gradient_norm, count)
        return Updated(loss, nll, int(count), gradient_norm, [wish > 0 for wish in wanted])

    def _accumulate(self, pieces: Sequence[MicroBatch], updates: int) -> Tensor:
        """Leave the summed gradients in the parameters and return this process's sums of loss, nll and count."""
        device = self._parallel.device
        self._optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for turn, piece in enumerate(pieces):
            torch.manual_seed(derived_seed(self._seed, "dropout", updates, piece.number))
            with self._parallel.accumulating(self._replica, last=turn == len(pieces) - 1):
                with autocast(device, self._precision):
                    loss: Loss = self._replica(piece.batch.to(device))
                (loss.total if piece.counts else loss.total * 0.0).backward()
            if piece.counts:
                count = torch.tensor(loss.count, dtype=torch.float64, device=device)
                sums += torch.stack([loss.total.detach().double(), loss.nll.detach().double(), count])
        return sums

    def _step(self, gradient_norm: float, count: float) -> None:
        factor = 1.0 / max(count, 1.0)
        if self._clip_norm > 0:
            factor *= min(1.0, self._clip_norm / (gradient_norm + _CLIP_EPSILON))
        torch._foreach_mul_(self._gradients(), factor)  # documented under this name
        self._optimizer.step()

    def _gradients(self) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters if parameter.grad is not None]


def _not_finite(update: int, loss: float, gradient_norm: float) -> StepFailedError:
    return StepFailedError(
        "SF633",
        f"update {update:,} has a loss of {loss} and a gradient norm of {gradient_norm}; the weights before it are kept",
        help="lower `optimizer.lr`, lengthen the warm-up or set `train.clip_norm`",
    )
