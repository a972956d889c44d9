"""An update rehearsed on tensors without values: how much memory it would take, and how many operations.

PyTorch's fake tensors have a shape, a type and a device, and no memory; what is computed with them takes the way through
the code that the device has (its own kernels, dropout, chunks of the loss), so that a model of hundreds of gigabytes is
looked at in a second or two. Nothing that depends on values is known: where a program asks for one, it is told False or 1.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.optim import Optimizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.weak import WeakIdKeyDictionary

from specforge.data.batch import Batch
from specforge.training.module import TrainingModule
from specforge.training.precision import Precision, autocast

UNFOLLOWED: Final[tuple[type[Exception], ...]] = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    NotImplementedError,
)
"""What is raised where a model computes in a way that needs values: no fault of the model's."""

_NEEDS_VALUES: Final = ("tensor subclasses", "data pointer", "Cannot access data", "fake tensor", "out of meta tensor")
"""Words of the errors without a class of their own that say the same."""

_OF_TWO_BATCHES: Final = ("bmm", "attention", "varlen_attn")
"""Parts of the names of products in which both sides belong to the items: none of them is a weight."""

_BatchT = TypeVar("_BatchT", bound=Batch)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an update with a single micro-batch takes on one device.

    Args:
        weights: bytes of parameters and buffers.
        gradients: bytes of the gradients.
        optimizer: bytes that the optimizer keeps between updates, and averages of the weights where they are asked for.
        peak: the most bytes that exist at a time, the above included.
        linear: floating-point operations that grow with the tokens of the micro-batch, forward and backward.
        quadratic: those that grow with items x length²: attention.
    """

    weights: int
    gradients: int
    optimizer: int
    peak: int
    linear: int
    quadratic: int

    @property
    def state(self) -> int:
        """Bytes that exist from one micro-batch to the next."""
        return self.weights + self.gradients + self.optimizer


@contextmanager
def without_values(device: torch.device) -> Iterator[FakeTensorMode]:
    """Return a context in which tensors are made without values, on `device` where nobody says otherwise."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.device(device), _ValuesGuessed():
        yield mode


def needs_values(error: Exception) -> bool:
    """Return whether an exception of a rehearsal says that values are missing, not that something is wrong."""
    return isinstance(error, UNFOLLOWED) or any(words in str(error) for words in _NEEDS_VALUES)


def fake_batch(batch: _BatchT, mode: FakeTensorMode, device: torch.device) -> _BatchT:
    """Return a batch of the same shapes without values."""
    without: dict[str, Any] = {name: mode.from_tensor(each).to(device) for name, each in batch.tensors().items()}
    return replace(batch, **without)


def rehearse(
    module: TrainingModule,
    make_optimizer: Callable[[], Optimizer],
    batch: Batch,
    precision: Precision,
    *,
    again: bool,
    averaged: bool = False,
) -> Rehearsal:
    """Rehearse a micro-batch and the optimizer's step, and return what they take.

    Memory: every storage that PyTorch's operations return counts once, from its birth to its end. What a kernel needs for
    itself and gives back at once is not seen, and neither is what the device's allocator loses between storages.

    Operations: a multiplication and an addition count as two. Counted are matrix products, convolutions and attention, as
    PyTorch's flop counter knows them, and two that it leaves out: products in place, and attention on a CPU. Element-wise
    operations, norms, softmax and the optimizer are not; together they are a few percent.

    Args:
        module: without values, made inside `without_values`; it holds no gradients, and none when this returns.
        make_optimizer: builds its optimizer.
        batch: the largest micro-batch, without values.
        precision: as in training.
        again: whether gradients of an earlier micro-batch are there already when this one is computed.
        averaged: whether there are averages of the weights.
    """
    parameters = [parameter for _, parameter in module.trainable()]
    held = [*module.parameters(), *module.buffers()]
    weights, gradients = _bytes(held), _bytes(parameters)
    if again:
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
    optimizer = make_optimizer()
    operations = _Operations()
    with operations, _Storages(weights + (gradients if again else 0), held) as living:
        with autocast(batch.targets.device, precision):
            loss = module(batch)
        loss.total.backward()
        del loss
        at_pass, living.peak = living.peak, living.now
        optimizer.step()
        at_step = living.peak
    kept = _bytes(
        [value for entry in optimizer.state.values() for value in entry.values() if isinstance(value, Tensor)]
    )
    module.zero_grad(set_to_none=True)
    quadratic = sum(
        count for kind, count in operations.by_kind.items() if any(name in kind for name in _OF_TWO_BATCHES)
    )
    linear = operations.by_kind.total() - quadratic
    averages = gradients if averaged else 0  # a number for each trained one, in the same type
    peak = max(at_pass + kept, at_step) + averages
    return Rehearsal(weights, gradients, kept + averages, peak, linear, quadratic)


def _bytes(tensors: Sequence[Tensor]) -> int:
    """Return the memory of tensors, storages that several share counted once."""
    storages = {id(storage): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storages.values())


class _ValuesGuessed(TorchDispatchMode):
    """Answers where a program asks a tensor for its value: False for a truth, else 1."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation."""
        del types
        if func is torch.ops.aten._local_scalar_dense.default:  # noqa: SLF001  # what `item` and `bool` come down to
            dtype: torch.dtype = args[0].dtype
            return False if dtype == torch.bool else 1.0 if dtype.is_floating_point else 1
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    """Counts operations with PyTorch's formulas.

    PyTorch's own counter follows modules too, and keeps alive what they compute once more in a backward pass.

    Attributes:
        by_kind: multiplications and additions by the name of the kind of product.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.by_kind: Counter[str] = Counter()
        self._formulas = FlopCounterMode(display=False, custom_mapping=_FURTHER_PRODUCTS).flop_registry

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation and count it."""
        del types
        made = func(*args, **(kwargs or {}))
        kind = func.overloadpacket
        if kind in self._formulas:
            self.by_kind[str(kind)] += self._formulas[kind](*args, **(kwargs or {}), out_val=made)
        return made


class _Storages(TorchDispatchMode):
    """Counts the bytes of the storages that are alive.

    Args:
        begin: bytes that are there already.
        known: tensors that they belong to.
    """

    def __init__(self, begin: int, known: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.now = self.peak = begin
        self._alive = WeakIdKeyDictionary()
        for tensor in known:
            self._alive[tensor.untyped_storage()] = True

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Do an operation and count what it makes."""
        del types
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._alive:
            self._alive[storage] = True
            size = storage.nbytes()
            weakref.finalize(storage, self._end, size)
            self.now += size
            self.peak = max(self.peak, self.now)

    def _end(self, size: int) -> None:
        self.now -= size


def _product_flop(_: Sequence[int], left: Sequence[int], right: Sequence[int], **__: Any) -> int:
    """Return the operations of a matrix product [rows, inner] @ [inner, columns] that is added to something."""
    return 2 * left[0] * left[1] * right[1]


def _attention_flop(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Return the operations of two products for each head: queries with keys, weights with values."""
    batch, heads, queries, dim = query
    return 2 * batch * heads * queries * key[2] * (dim + value[3])


def _attention_gradient_flop(
    gradient: Sequence[int], query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Return the operations of five products: the weights once more, and the gradients of weights, Q, K and V."""
    del gradient
    batch, heads, queries, dim = query
    return 2 * batch * heads * queries * key[2] * (3 * dim + 2 * value[3])


_ATEN: Final = torch.ops.aten
_FURTHER_PRODUCTS: Final[dict[Any, Any]] = {
    _ATEN.addmm_: _product_flop,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention_flop,  # noqa: SLF001  # its only name
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_gradient_flop,  # noqa: SLF001
}
