"""The exponential moving average of the weights: what is validated and published where `train.ema_decay` is given.

After update n (only updates that were applied count) the average a of a weight w becomes

    a ← a + (1 - d) (w - a)    with d = min(decay, (1 + n) / (10 + n))

and is the first weight before. The second term lets the average leave the first weights behind: it forgets nearly all of them in
the first updates, where a fixed decay of 0.9999 would still hold a third after 10,000. (As TensorFlow's
`ExponentialMovingAverage` with `num_updates`.)

Everything happens on the device, so that no update waits for it, and follows the same truth as the optimizer's step: an update
that is left out moves no average.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import Parameter

from specforge.foundation.errors import CorruptStateError, Place

_COUNT: Final = "updates"  # no name of a parameter: those begin with `model.` or `criterion.`


class Ema:
    """Averages of parameters, in the type of the parameters (float32).

    Args:
        parameters: (name, parameter) pairs that this process steps, with their first weights.
        decay: what is kept of the average in an update, once there were many.
    """

    def __init__(self, parameters: Sequence[tuple[str, Parameter]], decay: float) -> None:
        self._names = [name for name, _ in parameters]
        self._weights = [parameter.detach() for _, parameter in parameters]
        self._averages = [weight.clone() for weight in self._weights]
        self._decay = decay
        self._updates = torch.zeros((), dtype=torch.float64, device=self._weights[0].device if parameters else None)

    @torch.no_grad()
    def move(self, applied: Tensor) -> None:
        """Take in the weights after an update.

        Args:
            applied: [] whether it was applied: a truth on the device.
        """
        self._updates += applied
        decay = ((1.0 + self._updates) / (10.0 + self._updates)).clamp(max=self._decay)
        share = torch.where(applied, 1.0 - decay, 0.0)
        shares = {dtype: share.to(dtype) for dtype in {average.dtype for average in self._averages}}
        # documented under this name
        torch._foreach_lerp_(self._averages, self._weights, [shares[average.dtype] for average in self._averages])

    @contextmanager
    @torch.no_grad()
    def in_place(self) -> Iterator[None]:
        """Return a context in which the parameters are the averages; after it they are what they were, bit for bit."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint keeps: the averages by the name of the parameter, and the number of updates."""
        return {**dict(zip(self._names, self._averages, strict=True)), _COUNT: self._updates}

    def load(self, state: Mapping[str, Tensor], source: Path) -> None:
        """Take up what `state` returned.

        Args:
            state: may hold further parameters, which other processes step.
            source: what it is from, for the message.

        Raises:
            CorruptStateError: SF614, an average is missing or has another shape.
        """
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                message = f"the averages do not fit the model: `{name}`"
                raise CorruptStateError("SF614", message, place=Place(str(source)))
            own.copy_(state[name])

    def _exchange(self) -> None:
        for weight, average in zip(self._weights, self._averages, strict=True):
            before = weight.clone()
            weight.copy_(average)
            average.copy_(before)
