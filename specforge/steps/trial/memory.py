"""How much memory a piece of work takes at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import torch

_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1_024
_STATM: Final = Path("/proc/self/statm")


class PeakMemory:
    """Measures by how much memory grows inside a `with` block: a GPU's own memory, else that of the process.

    A process is looked at where the block asks for it and at its end; its highest mark ever counts where the block raised it.

    Args:
        device: whose memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = self._highest_before = self._most = 0

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            self._before, self._highest_before = _resident(), _highest()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()

    def look(self) -> None:
        """Take note of the memory that is in use now."""
        if self._device.type == "cuda":
            self._most = torch.cuda.max_memory_allocated(self._device)
            return
        highest = _highest()
        self._most = max(self._most, _resident(), highest if highest > self._highest_before else 0)

    @property
    def growth(self) -> int:
        """Bytes."""
        return max(0, self._most - self._before)


def _highest() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT


def _resident() -> int:
    """Return the memory of the process that is in use now; where the system does not say, the most there ever was."""
    try:
        return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        return _highest()
