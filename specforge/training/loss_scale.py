"""Dynamic loss scaling for fp16: losses are multiplied so that small gradients do not vanish, gradients divided again.

Everything is decided on the device, from numbers that all processes have in common; nothing here waits for it.

Source: Micikevicius et al. 2018, section 3.2; the constants are fairseq's, whose losses are sums over targets, too.
"""

from __future__ import annotations

from typing import Final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

FIRST_SCALE: Final = 128.0
"""Sums over thousands of targets overflow early; PyTorch's 65,536 is for means."""

GROWTH_INTERVAL: Final = 2_000
"""Updates in a row without an overflow after which the scale is doubled."""

SMALLEST_SCALE: Final = 2.0**-13
"""An overflow at this scale is none that scaling can cure (fairseq ends below 1e-4)."""

_LARGEST_SCALE: Final = 2.0**24  # gradients of zero would let it grow without end


class LossScaleState(BaseModel):
    """What a checkpoint remembers of it.

    Args:
        scale: factor of the losses.
        steady: updates in a row without an overflow since it last changed.
        overflows: updates left out in all, because their gradients overflowed.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    scale: float = Field(default=FIRST_SCALE, gt=0.0)
    steady: int = Field(default=0, ge=0)
    overflows: int = Field(default=0, ge=0)


class LossScale:
    """The factor of the losses, halved at each overflow and doubled after a while without one.

    Args:
        device: where gradients are.
        growth_interval: updates in a row without an overflow after which it is doubled.
    """

    def __init__(self, device: torch.device, growth_interval: int = GROWTH_INTERVAL) -> None:
        self._interval = growth_interval
        self._figures = torch.zeros(3, dtype=torch.float64, device=device)
        self.load(LossScaleState())

    @property
    def scale(self) -> Tensor:
        """The factor, a float32 on the device."""
        return self._figures[0].float()

    def overflowed(self, loss: Tensor, gradient_norm: Tensor) -> Tensor:
        """Return whether the gradients of an update are too large for the scale and a smaller one may do.

        Args:
            loss: [] its summed loss; one that is not finite is no matter of scale.
            gradient_norm: [] of its gradient.
        """
        return torch.isfinite(loss) & ~torch.isfinite(gradient_norm) & (self._figures[0] > SMALLEST_SCALE)

    def adapt(self, overflowed: Tensor, applied: Tensor) -> None:
        """Set the scale of the next update.

        Args:
            overflowed: [] whether this one's gradients were too large.
            applied: [] whether it was applied; an update that is neither leaves the scale as it is.
        """
        scale, steady, overflows = self._figures.unbind()
        steady = torch.where(overflowed, 0.0, steady + applied)
        grown = steady >= self._interval
        scale = torch.where(overflowed, scale / 2, torch.where(grown, scale * 2, scale))
        steady = torch.where(grown, 0.0, steady)
        self._figures = torch.stack([scale.clamp(SMALLEST_SCALE, _LARGEST_SCALE), steady, overflows + overflowed])

    def state(self) -> LossScaleState:
        """Return what to remember; this waits for the device."""
        scale, steady, overflows = self._figures.tolist()
        return LossScaleState(scale=scale, steady=int(steady), overflows=int(overflows))

    def load(self, state: LossScaleState) -> None:
        """Go on from what was remembered."""
        figures = [state.scale, float(state.steady), float(state.overflows)]
        for place, figure in enumerate(figures):
            self._figures[place] = figure
