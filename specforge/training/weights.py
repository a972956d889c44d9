"""Weights as named tensors: taken from a module, given back to it, averaged, and as bytes in the safetensors format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from specforge.foundation.errors import CorruptStateError, Place


def module_weights(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and persistent buffers of a module by name, each once.

    A tensor that a module holds under several names (tied embeddings) comes under the first of them only.
    """
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            weights[name] = tensor.detach()
    return weights


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: Path) -> None:
    """Give a module the weights that `module_weights` took from one of the same make.

    Args:
        module: its tensors are overwritten in place, so that an optimizer that holds them goes on holding them.
        weights: name → tensor.
        source: the file they are from, for the message.

    Raises:
        CorruptStateError: SF614, a name is missing or unknown, or a shape differs.
    """
    give_weights(module_weights(module), weights, source)


def give_weights(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: Path) -> None:
    """Overwrite tensors in place with others of the same names and shapes; see `load_weights`."""
    odd = sorted(own.keys() ^ weights.keys()) or [name for name in own if own[name].shape != weights[name].shape]
    if odd:
        raise CorruptStateError("SF614", f"the weights do not fit the model: `{odd[0]}`", place=Place(str(source)))
    for name, tensor in own.items():
        tensor.copy_(weights[name])


def weight_bytes(weights: Mapping[str, Tensor]) -> bytes:
    """Return weights in the safetensors format; equal weights give equal bytes.

    There is no metadata: safetensors writes several entries in random order.
    """
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, in memory of their own.

    Raises:
        CorruptStateError: SF614, it is missing or no such file.
    """
    try:
        # The file's own memory is aligned to 8 bytes only, and kernels may round differently on it.
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except FileNotFoundError:
        raise CorruptStateError("SF614", "a file is missing", place=Place(str(path))) from None
    except SafetensorError as error:
        raise CorruptStateError("SF614", f"not a safetensors file: {error}", place=Place(str(path))) from error


def average_weights(paths: Iterable[Path]) -> dict[str, Tensor]:
    """Return the arithmetic mean of the weights in several files, one file in memory at a time.

    Args:
        paths: at least one file; all hold the same names and shapes.

    Returns:
        The means, summed in float64 and given back in the type of the weights; what is not a floating-point number (a
        counter in a buffer) is taken from the last file.
    """
    sums: dict[str, Tensor] = {}
    last: dict[str, Tensor] = {}
    files = 0
    for path in paths:
        last = read_weights(path)
        files += 1
        for name, tensor in last.items():
            if tensor.is_floating_point():
                sums[name] = sums[name] + tensor if name in sums else tensor.to(torch.float64)
    return {name: (sums[name] / files).to(tensor.dtype) if name in sums else tensor for name, tensor in last.items()}


def all_finite(weights: Mapping[str, Tensor]) -> bool:
    """Return whether no weight is infinite or NaN."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in weights.values() if tensor.is_floating_point())
