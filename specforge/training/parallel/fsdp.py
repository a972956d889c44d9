"""Every process holds a part of each tensor of the model, and of what belongs to it (PyTorch's FSDP2).

A tensor is cut along its first dimension. Before a layer computes, its weights come together from all processes, and go when
it is done; gradients are summed in the process that holds the part. What the optimizer steps are the parts themselves, as
plain tensors: an optimizer that looks at each weight alone does the same to them as to the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn import Parameter

from specforge.criterions.criterion import Loss
from specforge.data.batch import Batch
from specforge.foundation.errors import WrongInputError
from specforge.training.module import TrainingModule
from specforge.training.parallel.process import Parallel
from specforge.training.parallel.strategy import Part, Strategy, sum_of_squares
from specforge.training.weights import module_weights


class Sharded(Strategy):
    """A part of every tensor in each process.

    Args:
        module: model and criterion; may be on a device that holds more than the one it is trained on.
        parallel: this process among several.

    Raises:
        WrongInputError: SF402, a parameter has no dimension to cut.
    """

    def __init__(self, module: TrainingModule, parallel: Parallel) -> None:
        super().__init__(module, parallel)
        _refuse_scalars(module)
        # Of the group that is there: to make one PyTorch would choose a device itself.
        group = dist.group.WORLD
        assert group is not None, "joined before"
        mesh = DeviceMesh.from_group(group, parallel.device.type)
        self._root = _Root(module)
        cut: list[nn.Module] = [*_layers(module), self._root]
        for part in cut:
            fully_shard(part, mesh=mesh)
        self._cut = [part for part in cut if isinstance(part, FSDPModule)]
        # Left to itself PyTorch fetches layers for the backward pass in the order of all forward passes since the last one,
        # those of a decoding included, of which each process does as many as it needs: they would wait for each other for
        # good. The first layer fetches the rest, which is there.
        for before, part in zip([self._cut[-1], *self._cut], self._cut, strict=False):
            part.set_modules_to_backward_prefetch([before])
        for part in self._cut:
            # The trainer divides by the count of the whole update, not by the number of processes. Without the second
            # line this would be a kind of sum that only NCCL has.
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # it has no other form
        self._held = {name: _part(parameter) for name, parameter in module.named_parameters()}
        self._steps = [(name, Parameter(_local(parameter))) for name, parameter in module.trainable()]

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Return this process's parts of the parameters; where one has fewer rows than there are processes, some have none."""
        return [(name, parameter) for name, parameter in self._steps if parameter.numel()]

    def step(self, batch: Batch) -> Loss:
        """Return the summed loss of a micro-batch; see the base class."""
        return self._loss(batch, validating=False)

    def validate(self, batch: Batch) -> Loss:
        """Return the summed loss of validation data; see the base class."""
        return self._loss(batch, validating=True)

    @property
    def together(self) -> bool:
        """Weights come from all processes."""
        return True

    def accumulating(self, *, last: bool) -> AbstractContextManager[None]:
        """Return a context for a micro-batch; see the base class."""
        self._parallel.heart.beat()
        for part in self._cut:
            part.set_requires_gradient_sync(last, recurse=False)
        return nullcontext()

    def forget_gradients(self) -> None:
        """Begin an update; see the base class."""
        self._root.zero_grad(set_to_none=True)
        for _, parameter in self._steps:
            parameter.grad = None

    def gradients(self) -> list[Tensor]:
        """Return the summed gradients of this process's parts; see the base class."""
        self._parallel.heart.beat()
        sums = [parameter.grad for _, parameter in self.module.trainable()]
        for (_, part), gradient in zip(self._steps, sums, strict=True):
            part.grad = None if gradient is None else _local(gradient)
        return [part.grad for _, part in self.trainable() if part.grad is not None]

    def share_of_squares(self, gradients: list[Tensor]) -> Tensor:
        """Return the sum of squares of this process's parts."""
        if not gradients:
            return torch.zeros((), dtype=torch.float64, device=self._parallel.device)
        return sum_of_squares(gradients)

    @contextmanager
    def own_gradients(self) -> Iterator[Iterator[tuple[str, Parameter]]]:
        """Hold all weights, so that gradients are those of all weights too."""
        for part in self._cut:
            part.set_requires_gradient_sync(False, recurse=False)  # it has no other form
            part.set_reshard_after_backward(False, recurse=False)
        try:
            with self.whole():
                yield iter(self.module.trainable())
                self.module.zero_grad(set_to_none=True)
        finally:
            for part in self._cut:
                part.set_reshard_after_backward(True, recurse=False)

    def forget_weights(self) -> None:
        """Give up weights that came together: those outside of layers stay after a forward pass without a backward one."""
        for part in self._cut:
            part.reshard()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Hold all weights for a while: as much memory as the model takes on one device, without gradients."""
        for part in self._cut:
            part.unshard()
            part.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            for part in self._cut:
                part.set_reshard_after_forward(not isinstance(part, _Root), recurse=False)
                part.reshard()

    def parts(self) -> dict[str, Part]:
        """Return which rows of each parameter this process holds."""
        return self._held

    def local_weights(self) -> dict[str, Tensor]:
        """Return this process's parts of the parameters, and the buffers, which all processes have."""
        return {name: _local(tensor) for name, tensor in module_weights(self.module).items()}

    def whole_weights(self, module: nn.Module) -> dict[str, Tensor]:
        """Return all weights on rank 0, brought together one tensor at a time; see the base class."""
        weights = {}
        for name, tensor in module_weights(module).items():
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self._parallel.main:
                weights[name] = whole.cpu()
        return weights

    def _loss(self, batch: Batch, *, validating: bool) -> Loss:
        total, nll, count = self._root(batch, validating)
        return Loss(total, nll, count)


class _Root(nn.Module):
    """What PyTorch hooks into.

    The weights outside of layers (embeddings, the projection that the criterion reads) are there from the beginning of its
    forward pass to the end of the backward pass. PyTorch looks for tensors in tuples, not in a `Loss`.
    """

    def __init__(self, module: TrainingModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch, validating: bool) -> tuple[Tensor, Tensor, int]:  # noqa: FBT001  # one way in
        """Return total, nll and count of a loss."""
        loss = self.module.validate(batch) if validating else self.module(batch)
        assert isinstance(loss, Loss)
        return loss.total, loss.nll, loss.count


def _refuse_scalars(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if parameter.dim() == 0:
            raise WrongInputError(
                "SF402",
                f"`{name}` of the model is a single number without dimensions, which `fsdp` cannot cut",
                help='write `run.strategy = "ddp"`, or make it a vector of one element',
            )


def _layers(module: TrainingModule) -> list[nn.Module]:
    """Return the layers that are gathered one at a time: those that share no parameter with anything else."""
    owners = _owners(module)
    blocks = ((block, _owners(block)) for block in module.model.blocks())
    return [block for block, own in blocks if own and all(owners[name] == count for name, count in own.items())]


def _owners(module: nn.Module) -> Counter[int]:
    """Return how many modules each parameter belongs to, by its id."""
    return Counter(id(parameter) for part in module.modules() for parameter in part.parameters(recurse=False))


def _local(tensor: Tensor) -> Tensor:
    """Return what this process holds of a tensor, in the same memory."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _part(tensor: Tensor) -> Part:
    assert isinstance(tensor, DTensor)
    rows = -(-tensor.shape[0] // tensor.device_mesh.size())
    start = min(rows * tensor.device_mesh.get_rank(), tensor.shape[0])
    return Part(tuple(tensor.shape), start, tensor.to_local().shape[0])
