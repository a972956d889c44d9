"""What updates came to, kept on the device until somebody reads it.

Reading a number from a device waits for all work that was sent there. So the sums of the updates since the last reading,
and whether one of them was not finite, stay there, and training reads them when it has something to say or to decide.

From the first update on that is not finite, nothing is applied any more: whenever training looks, weights and optimizer are
as they were before that update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

_SUMS: Final = 5
_FAILURE: Final = 4


@dataclass(frozen=True, slots=True)
class Failure:
    """The first update whose numbers are not finite; it was not applied.

    Args:
        update: its number, from 1.
        loss: summed loss of all processes, in nats.
        gradient_norm: of its mean gradient, before clipping.
    """

    update: int
    loss: float
    gradient_norm: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the updates since the last reading came to, over all processes.

    Args:
        loss: summed loss of the updates that were applied, in nats.
        nll: their summed negative log-likelihood, in nats.
        count: their targets.
        gradient_norm: sum of the norms of their mean gradients, before clipping.
        applied: how many they are.
        failure: the first update that was not finite; those after it were not applied either.
    """

    loss: float = 0.0
    nll: float = 0.0
    count: int = 0
    gradient_norm: float = 0.0
    applied: int = 0
    failure: Failure | None = None


def reading_is_free(device: torch.device) -> bool:
    """Return whether a device has its results at hand at any time: a processor has, an accelerator is waited for."""
    return device.type == "cpu"


class Tally:
    """Adds up updates on a device.

    Args:
        device: where.
    """

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(_SUMS, dtype=torch.float64, device=device)
        self._failure = torch.zeros(_FAILURE, dtype=torch.float64, device=device)

    @property
    def going(self) -> Tensor:
        """Whether no update since the last reading has failed: a truth on the device."""
        return self._failure[0] == 0

    def add(self, update: int, sums: Tensor, gradient_norm: Tensor, *, passed_over: Tensor | None = None) -> Tensor:
        """Take note of an update, and return whether it is to be applied: a truth on the device.

        Args:
            update: its number, from 1.
            sums: [3] loss, nll and count over all processes.
            gradient_norm: [] of its mean gradient.
            passed_over: [] whether it is left out for a reason of its own and no failure; None: it is not.
        """
        finite = torch.isfinite(sums[0]) & torch.isfinite(gradient_norm)
        going = self.going
        applied = finite & going
        failed = ~finite & going if passed_over is None else ~finite & going & ~passed_over
        ones = torch.ones_like(gradient_norm)
        # Not multiplied by 0, which keeps what is not finite.
        self._sums += torch.where(applied, torch.cat([sums, torch.stack([gradient_norm, ones])]), 0.0)
        number = torch.full_like(gradient_norm, update)
        self._failure = torch.where(failed, torch.stack([ones, number, sums[0], gradient_norm]), self._failure)
        return applied

    def read(self) -> Reading:
        """Return what was added since the last reading, and begin anew; this waits for the device."""
        loss, nll, count, norm, applied, failed, update, *wrong = torch.cat([self._sums, self._failure]).tolist()
        self._sums.zero_()
        self._failure.zero_()
        failure = Failure(int(update), *wrong) if failed else None
        return Reading(loss, nll, int(count), norm, int(applied), failure)
