"""How the layers of a model compute in training: compiled, or once more in the backward pass instead of remembering.

Both take the place of a layer's own `forward`: what is hooked to a layer (the gathering of its weights under `fsdp`) stays
outside, and the names of the weights stay what they are.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from torch.utils.checkpoint import checkpoint

from specforge.foundation import durable
from specforge.foundation.errors import EnvironmentFaultError
from specforge.models.model import Model

# Of one `forward`, whatever the number of layers that have it: in training and validation, with a mask and without, and once
# more for every dimension that is 1, which PyTorch always compiles apart.
_MOST_GRAPHS: Final = 64

_FOLDER: Final = "TORCHINDUCTOR_CACHE_DIR"


def compile_layers(model: Model, backend: str = "inductor") -> None:
    """Have the layers compiled when they first compute; layers with the same code share what is compiled.

    Args:
        model: before its layers are shared between devices.
        backend: of `torch.compile`.
    """
    import torch._dynamo

    # PyTorch would cut the graph of a layer where a bucket of gradients is full, and for more graphs than 8 stop compiling.
    torch._dynamo.config.optimize_ddp = False  # noqa: SLF001  # it has no other name
    torch._dynamo.config.recompile_limit = _MOST_GRAPHS  # noqa: SLF001
    for block in model.blocks():
        block.forward = torch.compile(block.forward, backend=backend, dynamic=True)


def checkpoint_layers(model: Model) -> None:
    """Let the layers keep their inputs only, and compute the rest once more in the backward pass, with the same dropout.

    Args:
        model: its layers may be compiled, and are not yet shared between devices.
    """
    for block in model.blocks():
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


@contextmanager
def compiling(*, wanted: bool) -> Iterator[None]:
    """Give the compiler a folder, and tell what goes wrong with it as an affair of this machine.

    A process that is killed while it compiles can leave half a library in PyTorch's own folder, which every later one would
    try to load. So each process has a folder to itself, unless the environment names one.

    Args:
        wanted: False where nothing is compiled.

    Raises:
        EnvironmentFaultError: SF685, the layers cannot be compiled.
    """
    if not wanted:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        with _folder_of_its_own():
            yield
    except TorchDynamoException as error:
        raise EnvironmentFaultError(
            "SF685",
            "PyTorch cannot compile the model's layers here",
            notes=(_said(error),),
            help="set `run.compile = false`, which changes no result beyond the last bits, or install what is missing",
        ) from error


@contextmanager
def _folder_of_its_own() -> Iterator[None]:
    if _FOLDER in os.environ:
        yield
        return
    folder = durable.temporary_folder(Path(tempfile.gettempdir()), "specforge-compiled")
    os.environ[_FOLDER] = str(folder)
    try:
        yield
    finally:
        del os.environ[_FOLDER]
        with suppress(OSError):  # one of the compiler's own processes may still be writing
            durable.remove_folder(folder)


def _said(error: Exception) -> str:
    """Return what the compiler said, without the advice to developers of PyTorch that follows."""
    first = str(error).strip().partition("\n\n")[0]
    return " ".join(first.split())
