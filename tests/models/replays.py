"""A recorder for processors that does what a CUDA graph does: the same operations on the same memory, without Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from specforge.modules.recorder import Recorder

_ATEN = torch.ops.aten
_WAITING = {
    _ATEN._local_scalar_dense.default,
    _ATEN.masked_select.default,
    _ATEN.nonzero.default,
    _ATEN._unique2.default,
}
_FROM_ELSEWHERE = {_ATEN.lift_fresh.default}
"""What `torch.tensor` does last: a copy from the host."""


class Replays(Recorder):
    """Records operations, and counts recordings and what was asked of them."""

    def __init__(self) -> None:
        self.recorded = 0
        self.replayed = 0

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Run the work twice, and keep what it did the second time."""
        work()
        self.recorded += 1
        operations = _Operations()
        with operations:
            work()

        def replay() -> None:
            self.replayed += 1
            operations.repeat()

        return replay


class _Operations(TorchDispatchMode):
    """What was done, with the tensors that were taken and made."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self._calls: list[tuple[Any, tuple[Any, ...], Mapping[str, Any], Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        assert func not in _WAITING, f"{func} waits for the device"
        assert func not in _FROM_ELSEWHERE, f"{func} brings numbers from elsewhere, once and never again"
        result = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, result))
        return result

    @torch.inference_mode()  # where numbers of either mode may be changed, as a graph may
    def repeat(self) -> None:
        """Do it all again, and leave each result where the first one stands."""
        for func, args, kwargs, result in self._calls:
            if not func._schema.is_mutable and _memory(result) & _memory((args, kwargs)):
                continue  # a view: its numbers are those of what it looks at
            for old, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


def _memory(tree: object) -> set[int]:
    """Return where the numbers of tensors stand."""
    return {leaf.untyped_storage().data_ptr() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}
