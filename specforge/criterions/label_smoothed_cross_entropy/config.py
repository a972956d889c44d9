"""What a spec may say of the label-smoothed cross entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from specforge.plugin import ComponentConfig, Oddity

_MOST_MEANT: Final = 0.5


class LabelSmoothedCrossEntropyConfig(ComponentConfig):
    """Cross entropy against a target that keeps 1 - ε and spreads ε over the other types.

    Source: Szegedy et al. 2016, in fairseq's form, where the V - 1 wrong types share ε. (fairseq's default is ε = 0, which
    is the plain cross entropy; asking for smoothing here gives the 0.1 of Vaswani et al. 2017.)
    """

    label_smoothing: float = Field(default=0.1, ge=0.0, description="ε, the part that the wrong types share")

    def oddities(self) -> Sequence[Oddity]:
        """More smoothing than target is seldom meant."""
        if self.label_smoothing <= _MOST_MEANT:
            return ()
        message = f"`label_smoothing = {self.label_smoothing:g}` leaves the right type less than the wrong ones share"
        return (Oddity("label_smoothing", message, "the target keeps 1 - ε", help="0.1 is usual", code="SF412"),)
