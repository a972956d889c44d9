"""Linear layers whose weights have a learned norm and a learned direction."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm


class Affine(NamedTuple):
    """The weights of a linear layer as plain tensors.

    Args:
        weight: [outputs, inputs].
        bias: [outputs].
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Return [..., outputs] for values [..., inputs]."""
        return functional.linear(values, self.weight, self.bias)


def weight_norm_linear(inputs: int, outputs: int, variance: float) -> nn.Linear:
    """Return a layer with weights g · v / ‖v‖, one norm g for each output (Salimans & Kingma 2016); the bias is zero.

    Args:
        inputs: width of the input.
        outputs: width of the output.
        variance: of v, `inputs` times: 1 keeps the variance of the input.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=(variance / inputs) ** 0.5)
    nn.init.zeros_(layer.bias)
    normed: nn.Linear = weight_norm(layer)
    return normed


def folded(layer: nn.Linear) -> Affine:
    """Return the layer's weights as the plain tensors they amount to, with a gradient to norm and direction.

    A layer with weight norm computes its weights at every use; a decoder does it once and takes many steps.
    """
    return Affine(layer.weight, layer.bias)
