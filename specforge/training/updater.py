"""One update: the gradients of its micro-batches, their sum over all processes, and the optimizer's step.

The gradient of an update is the sum of the gradients of its micro-batches over all processes, divided by the sum of their
target counts: equal however the update is cut. Whether it is finite is decided from sums over all processes before the step,
on the device: no update waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, cast

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from specforge.criterions.criterion import Loss
from specforge.foundation.seeds import derived_seed
from specforge.training.ema import Ema
from specforge.training.loading import MicroBatch
from specforge.training.loss_scale import LossScale
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Strategy
from specforge.training.precision import Precision, autocast
from specforge.training.tally import Reading, Tally

# As in fairseq and PyTorch; it keeps the factor finite for a gradient of zero.
_CLIP_EPSILON: Final = 1e-6


class _Gated(Protocol):
    """An optimizer whose kernels leave weights and state alone where a number on the device says so.

    PyTorch's fused optimizers are of this kind; the protocol is that of `torch.amp.GradScaler`.
    """

    found_inf: Tensor


class Updater:
    """Applies updates to a module.

    Args:
        strategy: how the processes hold the module.
        optimizer: built for `strategy.trainable()`.
        parallel: this process among those that train.
        seed: the spec's seed.
        clip_norm: largest norm of the mean gradient; 0 leaves gradients alone.
        precision: of the forward passes; `fp16` scales losses.
        ema: averages of the weights, where they are asked for.

    Attributes:
        loss_scale: the factor of the losses; None where they need none.
        at_work: the micro-batch that is computed, or was last.
    """

    def __init__(
        self,
        strategy: Strategy,
        optimizer: Optimizer,
        parallel: Parallel,
        *,
        seed: int,
        clip_norm: float,
        precision: Precision,
        ema: Ema | None = None,
    ) -> None:
        self._strategy = strategy
        self._module = strategy.module
        self._optimizer = optimizer
        self._gated = bool(getattr(optimizer, "_step_supports_amp_scaling", False))
        self._parallel = parallel
        self._seed = seed
        self._clip_norm = clip_norm
        self._precision = precision
        self._ema = ema
        self._tally = Tally(parallel.device)
        self.at_work: MicroBatch | None = None
        self.loss_scale = LossScale(parallel.device) if precision == "fp16" else None

    def apply(self, pieces: Sequence[MicroBatch], lr: float, updates: int) -> None:
        """Apply one update, unless it or one since the last reading is not finite.

        Args:
            pieces: this process's micro-batches.
            lr: its learning rate.
            updates: updates done before it.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._module.set_num_updates(updates)
        sums = self._accumulate(pieces, updates)
        gradients = self._strategy.gradients()
        squares = self._strategy.share_of_squares(gradients)
        # One exchange in every update; all processes decide from the same numbers.
        *summed, squares = self._parallel.total(torch.cat([sums, squares[None]])).unbind()
        count = summed[2].clamp(min=1.0)
        factor = 1.0 / count
        gradient_norm = squares.sqrt() / count
        overflowed = None
        if self.loss_scale is not None:
            factor = factor / self.loss_scale.scale
            gradient_norm = gradient_norm / self.loss_scale.scale
            overflowed = self.loss_scale.overflowed(summed[0], gradient_norm) & self._tally.going
        applied = self._tally.add(updates + 1, torch.stack(summed), gradient_norm, passed_over=overflowed)
        if self.loss_scale is not None and overflowed is not None:
            self.loss_scale.adapt(overflowed, applied)
        if self._clip_norm > 0:
            factor = factor * (self._clip_norm / (gradient_norm + _CLIP_EPSILON)).clamp(max=1.0)
        self._step(gradients, factor, applied)
        if self._ema is not None:
            self._ema.move(applied)

    def read(self) -> Reading:
        """Return what the updates since the last reading came to; this waits for the device."""
        return self._tally.read()

    def gradients_of(
        self, pieces: Sequence[MicroBatch], updates: int
    ) -> Iterator[tuple[MicroBatch, Loss, Sequence[tuple[str, Parameter]]]]:
        """Compute the micro-batches of an update once more, one at a time, as `apply` did when the weights were as now.

        Args:
            pieces: this process's micro-batches.
            updates: updates done before it.

        Yields:
            Each with its loss and all parameters, in which its own gradient stands, of this process alone.
        """
        self._module.set_num_updates(updates)
        self._strategy.forget_gradients()
        with self._strategy.own_gradients() as named:
            parameters = list(named)
            for piece in pieces:
                yield piece, self._backward(piece, updates, last=False), parameters
                for _, parameter in parameters:
                    parameter.grad = None

    def _accumulate(self, pieces: Sequence[MicroBatch], updates: int) -> Tensor:
        """Leave the summed gradients in the parameters and return this process's sums of loss, nll and count."""
        self._strategy.forget_gradients()
        sums = torch.zeros(3, dtype=torch.float64, device=self._parallel.device)
        for turn, piece in enumerate(pieces):
            loss = self._backward(piece, updates, last=turn == len(pieces) - 1)
            if piece.counts:
                total, nll = loss.total.detach().double(), loss.nll.detach().double()
                # A tensor made of a number would be copied to the device, and waited for.
                sums += torch.stack([total, nll, torch.full_like(total, loss.count)])
        return sums

    def _backward(self, piece: MicroBatch, updates: int, *, last: bool) -> Loss:
        device = self._parallel.device
        self.at_work = piece
        torch.manual_seed(derived_seed(self._seed, "dropout", updates, piece.number))
        with self._strategy.accumulating(last=last):
            with autocast(device, self._precision):
                loss = self._strategy.step(piece.batch.to(device))
            total = loss.total if piece.counts else loss.total * 0.0
            (total if self.loss_scale is None else total * self.loss_scale.scale).backward()
        return loss

    def _step(self, gradients: list[Tensor], factor: Tensor, applied: Tensor) -> None:
        torch._foreach_mul_(gradients, factor.to(gradients[0].dtype))  # documented under this name
        if self._gated:
            cast("_Gated", self._optimizer).found_inf = (~applied).float()
            self._optimizer.step()
        elif applied:  # this waits for the device
            self._optimizer.step()
