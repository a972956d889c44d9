"""Equal bits in every run on the same hardware (`train.deterministic`).

On a processor results are equal anyway, as long as versions, threads and processes are the same. On CUDA several kernels add
up in an order that differs from run to run; PyTorch has a slower one for most of them and refuses the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import torch

from specforge.foundation.errors import StepFailedError

# Read when cuBLAS and Inductor are first used.
_ENVIRONMENT: Final = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8", "TORCHINDUCTOR_DETERMINISTIC": "1"}
_REFUSED: Final = "does not have a deterministic implementation"


class _Switch(Protocol):
    fill_uninitialized_memory: bool


@contextmanager
def deterministic(*, wanted: bool) -> Iterator[None]:
    """Compute deterministically; entered before anything was computed on CUDA.

    Args:
        wanted: False leaves everything as it is.

    Raises:
        StepFailedError: SF676, an operation has no deterministic kernel.
    """
    if not wanted:
        yield
        return
    switch: _Switch = torch.utils.deterministic  # type: ignore[assignment]  # torch's types show a module without it
    before = torch.are_deterministic_algorithms_enabled(), switch.fill_uninitialized_memory
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    os.environ.update(_ENVIRONMENT)
    torch.use_deterministic_algorithms(True)
    # It fills memory that is overwritten anyway; a kernel that read it would be at fault everywhere else, too.
    switch.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    try:
        yield
    except RuntimeError as error:
        operation, refused, _ = str(error).partition(_REFUSED)
        if not refused:
            raise
        raise StepFailedError(
            "SF676",
            f"`{operation.strip()}` has no deterministic kernel on this device",
            help="set `train.deterministic = false`, or choose a model or criterion without this operation",
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0])
        switch.fill_uninitialized_memory = before[1]
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
