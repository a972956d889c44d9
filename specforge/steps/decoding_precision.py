"""Models made ready for decoding: in the precision that is asked for, their weights laid out for the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from specforge.foundation.errors import WrongInputError
from specforge.models.model import EncoderDecoder
from specforge.modules.attention_loops import compiled_loops
from specforge.modules.packed_linear import Precision, pack_linear_layers
from specforge.modules.recorder import CudaGraphs


def prepare_for_decoding(
    models: Sequence[nn.Module], precision: Precision, device: torch.device, *, recorded: bool = False
) -> None:
    """Change models, which can only compute from then on, in evaluation mode.

    Args:
        models: on `device`, their weights float32.
        precision: of `generate.precision`.
        device: where they compute.
        recorded: whether a GPU is to replay recordings of steps, where a model can.

    Raises:
        WrongInputError: SF745, the precision is not for this device, or not for one of the models.
    """
    for model in models:
        model.eval()
    if device.type == "cuda":
        if precision == "int8":
            raise WrongInputError(
                "SF745",
                '`generate.precision = "int8"` is for CPUs, and this is a GPU',
                help='write `generate.precision = "bf16"`, or `run.device = "cpu"`',
            )
        for model in models:
            model.to(torch.bfloat16 if precision == "bf16" else torch.float32)
            if recorded and isinstance(model, EncoderDecoder):
                model.record_steps(CudaGraphs(device))
        return
    compiled_loops()  # before processes are forked, which share them
    for model in models:
        if not pack_linear_layers(model, precision) and precision != "fp32":
            name = type(model).__name__
            raise WrongInputError(
                "SF745",
                f"`generate.precision` is for linear layers, and `{name}` has none that it can be used for",
                help='write `generate.precision = "fp32"`',
            )
