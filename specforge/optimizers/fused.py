"""Where PyTorch's optimizers have one kernel for all weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from torch.nn import Parameter

_FUSED_DEVICES: Final = frozenset({"cpu", "cuda"})


def fused_where_possible(named: Iterable[tuple[str, Parameter]]) -> bool | None:
    """Return the `fused` argument of one of PyTorch's optimizers.

    Args:
        named: (name, parameter) pairs, on the device that they are trained on.

    Returns:
        True for one kernel instead of a dozen a tensor; None, PyTorch's own choice, where there is no such kernel.
    """
    return all(parameter.device.type in _FUSED_DEVICES for _, parameter in named) or None
