"""The layers of a convolutional sequence-to-sequence model.

All arithmetic is done on folded weights: training folds them at every use, decoding once for many steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from specforge.models.fconv.config import residual_of
from specforge.modules.weight_norm import Affine, folded, weight_norm_linear

ROOT_HALF: Final = sqrt(0.5)
"""Sums of two are multiplied by this, so that the variance stays (Gehring et al. 2017, section 3.5)."""


@dataclass(frozen=True, slots=True)
class Source:
    """The encoded source, as attention sees it.

    Args:
        keys: [sentences, source length, dim].
        values: [sentences, source length, dim], the keys with the embeddings added.
        bias: [sentences, 1, source length], -inf where there is no symbol, else 0; None where there is no such place.
        scale: [sentences, 1, 1] what the mean of the values is multiplied by, the square root of the source length.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor | None
    scale: Tensor

    def select(self, sentences: Tensor) -> Source:
        """Return the source of some of the sentences."""
        bias = None if self.bias is None else self.bias[sentences]
        return Source(self.keys[sentences], self.values[sentences], bias, self.scale[sentences])


@dataclass(frozen=True, slots=True)
class FoldedAttention:
    """Attention with folded weights.

    Args:
        query: from channels to the width of the embeddings.
        output: back.
    """

    query: Affine
    output: Affine

    def __call__(self, values: Tensor, embedded: Tensor, source: Source) -> Tensor:
        """Return values with what they found in the source added.

        Args:
            values: [sentences, positions, channels].
            embedded: [sentences, positions, dim] of the same positions.
            source: of the sentences.

        Returns:
            [sentences, positions, channels]
        """
        return self.read(values, self.weights(values, embedded, source), source)

    def weights(self, values: Tensor, embedded: Tensor, source: Source) -> Tensor:
        """Return how much each position looks at each source symbol, [sentences, positions, source length]; see `__call__`."""
        query = (self.query(values) + embedded) * ROOT_HALF
        scores = query @ source.keys.transpose(1, 2)  # [sentences, positions, source length]
        if source.bias is not None:
            scores = scores + source.bias
        return scores.softmax(dim=-1)

    def read(self, values: Tensor, weights: Tensor, source: Source) -> Tensor:
        """Return values [sentences, positions, channels] with what they find where they look added."""
        found = (weights.to(source.values.dtype) @ source.values) * source.scale
        return (self.output(found) + values) * ROOT_HALF


@dataclass(frozen=True, slots=True)
class FoldedLayer:
    """A convolution with folded weights, gated, and what is added to it.

    Args:
        kernel: width of the convolution.
        convolution: from `kernel` neighbours, oldest first, to twice the channels.
        back: how many layers back the residual connection starts; 0 for none.
        projection: of the residual connection, where the widths differ.
        attention: to the source, in layers that have it.
    """

    kernel: int
    convolution: Affine
    back: int
    projection: Affine | None
    attention: FoldedAttention | None

    def convolve(self, windows: Tensor) -> Tensor:
        """Return [..., channels] for windows [..., kernel x inputs]: the convolution and its gate."""
        return functional.glu(self.convolution(windows), dim=-1)

    def add_residual(self, values: Tensor, history: Sequence[Tensor]) -> Tensor:
        """Return values [..., channels] with the residual connection added.

        Args:
            values: what the layer computed.
            history: the first layer's input and the outputs of the layers before this one.
        """
        if self.back == 0:
            return values
        residual = history[-self.back]
        return (values + (residual if self.projection is None else self.projection(residual))) * ROOT_HALF


class ConvolutionLayer(nn.Module):
    """The parameters of a layer.

    Args:
        inputs: width of its input.
        layer: channels, kernel width and perhaps the start of the residual connection, as the config has them.
        residual_width: width of what the residual connection brings.
        dropout: on the input; weights are drawn wider to make up for it.
        attention_dim: width of the encoded source that the layer attends to; None for no attention.
    """

    def __init__(
        self, inputs: int, layer: tuple[int, ...], residual_width: int, dropout: float, attention_dim: int | None
    ) -> None:
        super().__init__()
        channels, self.kernel = layer[:2]
        self.back = residual_of(layer)
        self.convolution = weight_norm_linear(self.kernel * inputs, 2 * channels, 4.0 * (1.0 - dropout))
        needs_projection = self.back > 0 and residual_width != channels
        self.projection = weight_norm_linear(residual_width, channels, 1.0) if needs_projection else None
        self.query = None if attention_dim is None else weight_norm_linear(channels, attention_dim, 1.0)
        self.output = None if attention_dim is None else weight_norm_linear(attention_dim, channels, 1.0)

    def folded(self) -> FoldedLayer:
        """Return the layer with its weights as plain tensors."""
        attention = None
        if self.query is not None and self.output is not None:
            attention = FoldedAttention(folded(self.query), folded(self.output))
        projection = None if self.projection is None else folded(self.projection)
        return FoldedLayer(self.kernel, folded(self.convolution), self.back, projection, attention)


def convolution_layers(
    layers: Sequence[tuple[int, ...]], dropout: float, attending: Sequence[bool], attention_dim: int
) -> list[ConvolutionLayer]:
    """Return a stack of layers; the input of the first is as wide as its output.

    Args:
        layers: as the config has them.
        dropout: on the input of each.
        attending: for each layer whether it attends to the source.
        attention_dim: width of the encoded source.
    """
    widths = [layers[0][0]]
    stack = []
    for layer, attends in zip(layers, attending, strict=True):
        residual_width = widths[-max(residual_of(layer), 1)]
        stack.append(ConvolutionLayer(widths[-1], layer, residual_width, dropout, attention_dim if attends else None))
        widths.append(layer[0])
    return stack


def windows(values: Tensor, kernel: int, before: int) -> Tensor:
    """Return for each position the values around it, zeros beyond the ends.

    A matrix product with these is the convolution: quicker on a CPU than torch's own, which wants channels first.

    Args:
        values: [batch, length, channels].
        kernel: how many positions.
        before: how many of them stand before the position.

    Returns:
        [batch, length, kernel x channels], the first position first.
    """
    if kernel == 1:
        return values
    length = values.shape[1]
    padded = functional.pad(values, (0, 0, before, kernel - 1 - before))
    return torch.cat([padded[:, start : start + length] for start in range(kernel)], dim=-1)
