"""Memory of tensors that are gone, for those that come."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import prod
from typing import Final

import torch
from torch import Tensor

_MOST: Final = 1 << 28
"""Bytes that are kept, and the largest piece that is: 256 MiB. What clears more is a small part of the time."""


class ReusedMemory:
    """Hands out memory of a CPU that somebody gave back.

    The system clears fresh memory page by page when it is written first: 9 % of the time of decoding with a beam of 5, before caches
    had the memory of those before them. On other devices PyTorch itself keeps memory, and here nothing is kept.

    Not for several threads at a time; but memory may be given back at any moment, as the garbage collector does.
    """

    def __init__(self) -> None:
        self._returned: deque[torch.UntypedStorage] = deque()
        self._free: list[tuple[int, Tensor]] = []  # bytes, and a tensor [bytes]

    def empty(self, sizes: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor whose numbers mean nothing.

        Args:
            sizes: of each dimension.
            like: a tensor of its type, and on its device.
        """
        if like.device.type != "cpu":
            return like.new_empty(*sizes)
        needed = prod(sizes) * like.element_size()
        memory = self._taken(needed)
        if memory is None:
            with torch.inference_mode(mode=False):  # who comes later may be outside of it
                memory = torch.empty(needed, dtype=torch.uint8, device="cpu")
        return memory[:needed].view(like.dtype).view(*sizes)

    def give_back(self, tensor: Tensor) -> None:
        """Take the memory of a tensor that `empty` returned and that nobody looks at any more, nor at a part of it.

        The collector may call this in the middle of anything, `empty` or a compiler's tracing: no operation may be done here.
        """
        if tensor.device.type == "cpu":
            self._returned.append(tensor.untyped_storage())

    def _taken(self, needed: int) -> Tensor | None:
        """Return the smallest free memory that is large enough, which is free no more; None if there is none."""
        while self._returned:
            with torch.inference_mode(mode=False):
                memory = torch.empty(0, dtype=torch.uint8, device="cpu").set_(self._returned.popleft())
            self._free.append((memory.numel(), memory))
        self._free.sort(key=lambda each: each[0])
        while self._free and self._free[-1][0] > _MOST:
            del self._free[-1]
        while sum(size for size, _ in self._free) > _MOST:
            del self._free[0]
        for place, (size, _) in enumerate(self._free):
            if size >= needed:
                return self._free.pop(place)[1]
        del self._free[-1:]  # a larger one is coming
        return None
