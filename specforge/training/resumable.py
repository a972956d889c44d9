"""What a checkpoint holds, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue
from torch import Tensor

from specforge.training.state import TrainingState


@dataclass(frozen=True, slots=True)
class Resumable:
    """What is saved of a training, in memory.

    Args:
        state: how far it is.
        weights: of model and criterion.
        optimizer: tensors of the optimizer's state.
        optimizer_rest: the rest of it.
        ema: averages of the weights; None where there are none.
    """

    state: TrainingState
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    optimizer_rest: Mapping[str, JsonValue]
    ema: Mapping[str, Tensor] | None = None

    def copied(self) -> Resumable:
        """Return the same in memory of its own, on the host: training may go on."""
        ema = None if self.ema is None else _copies(self.ema)
        state = self.state.model_copy(deep=True)
        return Resumable(state, _copies(self.weights), _copies(self.optimizer), self.optimizer_rest, ema)


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
