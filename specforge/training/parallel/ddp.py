"""Every process holds the whole model; gradients are summed while they are computed (PyTorch's DDP)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from inspect import signature
from typing import Final, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.parallel import DistributedDataParallel

from specforge.criterions.criterion import Loss
from specforge.data.batch import Batch
from specforge.training.module import TrainingModule
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Part, Strategy, sum_of_squares
from specforge.training.weights import module_weights

# The option got another name in PyTorch 2.13.
_RENAMED: Final = "forward_sync_buffers" in signature(DistributedDataParallel).parameters


class Replicated(Strategy):
    """The whole model in every process, or in the only one.

    Args:
        module: model and criterion.
        parallel: this process among all.
    """

    def __init__(self, module: TrainingModule, parallel: Parallel) -> None:
        super().__init__(module.to(parallel.device), parallel)
        self._replica = self._wrapped() if parallel.world > 1 else self.module
        self._parameters = self.module.trainable()

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Return all parameters; see the base class."""
        return self._parameters

    def step(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch; see the base class."""
        loss: Loss = self._replica(batch)
        return loss

    def validate(self, batch: Batch) -> Loss:
        """Return the summed loss of validation data; see the base class."""
        return self.module.validate(batch)

    @property
    def together(self) -> bool:
        """Each process has all it needs."""
        return False

    def accumulating(self, *, last: bool) -> AbstractContextManager[None]:
        """Return a context for a micro-batch; see the base class."""
        self._parallel.heart.beat()
        if isinstance(self._replica, DistributedDataParallel) and not last:
            return self._replica.no_sync()
        return nullcontext()

    def forget_gradients(self) -> None:
        """Begin an update; see the base class."""
        for _, parameter in self._parameters:
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """Return the summed gradients; see the base class."""
        return [parameter.grad for _, parameter in self._parameters if parameter.grad is not None]

    def share_of_squares(self, gradients: list[Tensor]) -> Tensor:
        """Return an equal share: all processes have the same gradient."""
        return sum_of_squares(gradients) / self._parallel.world

    @contextmanager
    def own_gradients(self) -> Iterator[Iterator[tuple[str, Parameter]]]:
        """Give the parameters, whose gradients `accumulating` does not sum before the last micro-batch."""
        yield iter(self._parameters)

    def forget_weights(self) -> None:
        """Nothing is made of them."""

    def whole(self) -> AbstractContextManager[None]:
        """Nothing is missing."""
        return nullcontext()

    def parts(self) -> dict[str, Part]:
        """Nothing is cut."""
        return {}

    def local_weights(self) -> dict[str, Tensor]:
        """Return all weights; see the base class."""
        return module_weights(self.module)

    def whole_weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return all weights on rank 0; see the base class."""
        return module_weights(module) if self._parallel.main else {}

    def _wrapped(self) -> DistributedDataParallel:
        """Return a module whose backward pass sums the gradients over all processes."""
        # PyTorch packs gradients anew after the first backward pass, and over gloo the order of a sum of three or more
        # depends on the place in the pack: a resumed training would differ in the last bits. Looking for unused
        # parameters keeps the first packing.
        keeps = self._parallel.world > 2 and self._parallel.device.type == "cpu"  # noqa: PLR2004  # a + b is b + a
        # Buffers are tables, equal everywhere; sending them with every forward pass would be for nothing.
        if _RENAMED:
            wrapped = DistributedDataParallel(self.module, forward_sync_buffers=False, find_unused_parameters=keeps)
        else:
            wrapped = DistributedDataParallel(self.module, broadcast_buffers=False, find_unused_parameters=keeps)
        # A lambda: PyTorch compares annotations with its own classes and would refuse the strings that ours are.
        wrapped.register_comm_hook(None, lambda _, bucket: self._summed(bucket))
        return wrapped

    def _summed(self, bucket: _Bucket) -> torch.futures.Future[Tensor]:
        self._parallel.heart.beat()  # this process has its gradients; if another has not, this is how one can tell
        return _summed(bucket)


class _Bucket(Protocol):
    """Gradients that travel together (`torch.distributed.GradBucket`, which torch's types do not show)."""

    def buffer(self) -> Tensor:
        """Return them, flat."""


def _summed(bucket: _Bucket) -> torch.futures.Future[Tensor]:
    """Sum a bucket of gradients: the trainer divides by the count of the whole update, not by the number of processes."""

    def first(reduced: torch.futures.Future[list[Tensor]]) -> Tensor:
        return reduced.value()[0]

    reducing = dist.all_reduce(bucket.buffer(), async_op=True)
    assert reducing is not None
    summed: torch.futures.Future[Tensor] = reducing.get_future().then(first)
    return summed
