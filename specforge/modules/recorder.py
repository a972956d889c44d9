"""What records operations on a device once and runs them again without Python."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

import torch

_WARM_UPS: Final = 2
"""Runs before a recording: libraries set themselves up in the first ones, which a recording does not allow."""


class Recorder(ABC):
    """Records what a function does with tensors that stay where they are."""

    @abstractmethod
    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does the work again: the same operations on the same memory.

        Args:
            work: takes its inputs from tensors and leaves its results in tensors, which all outlive what is returned. It never
                waits for the device, and may be run several times before this returns.
        """


class CudaGraphs(Recorder):
    """Records CUDA graphs, all of which compute in the same memory beside what is given.

    Source: PyTorch's notes on CUDA graphs (torch.cuda.CUDAGraph).

    Args:
        device: a GPU; that of all tensors.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            # One for all recordings: libraries keep workspaces for each stream, and free them with its graphs.
            self._stream = torch.cuda.Stream()
        self._newest: torch.cuda.CUDAGraph | None = None  # a pool that no graph needs any more cannot be used again

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture a graph; see the base class."""
        with torch.cuda.device(self._device), warnings.catch_warnings():
            warnings.simplefilter("error")  # an empty graph, say, because all was done on another device
            here = torch.cuda.current_stream()
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                for _ in range(_WARM_UPS):
                    work()
            here.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                work()
        self._newest = graph
        return graph.replay
