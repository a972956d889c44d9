"""What a convolutional decoder keeps between two steps."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from specforge.models.fconv.layers import FoldedLayer, Source
from specforge.models.model import DecodingState
from specforge.modules.weight_norm import Affine


@dataclass(frozen=True, slots=True)
class FoldedDecoder:
    """The decoder's weights as plain tensors, computed once for all steps.

    Args:
        enter: from embeddings to the first layer.
        layers: the layers.
        leave: from the last layer to features.
        output: from features to logits.
    """

    enter: Affine
    layers: list[FoldedLayer]
    leave: Affine
    output: Affine


@dataclass(slots=True)
class FConvState(DecodingState):
    """The source once per sentence, the last inputs of each convolution once per prefix.

    Args:
        weights: of the decoder.
        source: of the sentences.
        recent: for each layer the inputs of the last kernel - 1 positions, [rows, kernel - 1, inputs], oldest first.
        length: symbols so far.
        keeps_attention: whether steps fill `looked`.
        looked: [rows, source length] the mean of what the layers looked at in the last step.
    """

    weights: FoldedDecoder
    source: Source
    recent: list[Tensor]
    length: int = 0
    keeps_attention: bool = False
    looked: Tensor | None = None

    @property
    def attention(self) -> Tensor | None:
        """What the last step looked at; see the base class."""
        return self.looked

    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place; see the base class."""
        self.recent = [inputs[rows] for inputs in self.recent]
        self.looked = None if self.looked is None else self.looked[rows]
        if sentences is not None:
            self.source = self.source.select(sentences)
