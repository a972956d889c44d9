"""What the two ways to share the work of a training have in common: to copy the weights, or to cut them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.utils import get_total_norm

from specforge.criterions.criterion import Loss
from specforge.data.batch import Batch
from specforge.training.module import TrainingModule
from specforge.training.parallel.process import Parallel


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a tensor that a process holds.

    Args:
        shape: of the whole tensor.
        start: its first row.
        rows: how many.
    """

    shape: tuple[int, ...]
    start: int
    rows: int


def sum_of_squares(gradients: Sequence[Tensor]) -> Tensor:
    """Return the sum of the squares of all elements, in float64.

    A processor adds up one element after the other: over a whole table of embeddings float32 loses the fourth digit, and another
    one for every way to cut it. So rows are added up in float32, and their sums in float64.
    """
    if gradients[0].device.type != "cpu":
        return get_total_norm(gradients).double().square()
    rows = [torch.linalg.vector_norm(gradient, dim=-1).double().square().sum() for gradient in gradients]
    return torch.stack(rows).sum()


class Strategy(ABC):
    """How the processes of a training hold a module, and come to the gradients of an update.

    Args:
        module: model and criterion, with the same weights in every process.
        parallel: this process among all.

    Attributes:
        module: on this process's device. Its parameters are what forward passes go through; what the optimizer steps is
            `trainable`.
    """

    def __init__(self, module: TrainingModule, parallel: Parallel) -> None:
        self.module = module
        self._parallel = parallel

    @abstractmethod
    def trainable(self) -> list[tuple[str, Parameter]]:
        """Return what this process steps, as (name, parameter) pairs in the order of the names."""

    @abstractmethod
    def step(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch, all processes at once."""

    @abstractmethod
    def validate(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch of validation data, all processes at once where `together`."""

    @property
    @abstractmethod
    def together(self) -> bool:
        """Whether no process can compute anything without the others."""

    @abstractmethod
    def accumulating(self, *, last: bool) -> AbstractContextManager[None]:
        """Return a context for forward and backward pass of a micro-batch; the last one of an update sums gradients."""

    @abstractmethod
    def forget_gradients(self) -> None:
        """Begin an update."""

    @abstractmethod
    def gradients(self) -> list[Tensor]:
        """Return the summed gradients of what this process steps, which from now on stand in `trainable`."""

    @abstractmethod
    def share_of_squares(self, gradients: list[Tensor]) -> Tensor:
        """Return what, summed over all processes, is the sum of squares of the whole gradient, in float64."""

    @abstractmethod
    def own_gradients(self) -> AbstractContextManager[Iterator[tuple[str, Parameter]]]:
        """Return a context in which backward passes leave this process's own gradients in the parameters it gives."""

    @abstractmethod
    def forget_weights(self) -> None:
        """Drop what was made of the weights: somebody has overwritten `trainable`."""

    @abstractmethod
    def whole(self) -> AbstractContextManager[None]:
        """Return a context in which every process holds all weights and computes without the others."""

    @abstractmethod
    def parts(self) -> dict[str, Part]:
        """Return which rows this process holds, for each tensor of the module that is cut."""

    @abstractmethod
    def local_weights(self) -> dict[str, Tensor]:
        """Return what this process holds of the module's weights; see `module_weights`."""

    @abstractmethod
    def whole_weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return all weights of (a part of) the module on rank 0, and nothing elsewhere; all processes at once."""
