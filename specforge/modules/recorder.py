"""What records operations on a device once and runs them again without Python."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

_WARM_UPS = 2
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
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture a graph; see the base class."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        return graph.replay
