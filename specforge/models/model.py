"""The contract between models and the rest: features and projection for training, start and step for decoding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from specforge.data.batch import Batch


@dataclass(frozen=True, slots=True)
class OutputLayer:
    """A vocabulary projection that is exactly linear, so that it can be fused with the loss.

    Args:
        weight: [vocabulary, dim], the parameter itself or, with weight norm, a tensor made of parameters.
        bias: [vocabulary], or None.
    """

    weight: Tensor
    bias: Tensor | None = None


class DecodingState(ABC):
    """What a decoder keeps between two steps: `beam` consecutive rows for each sentence still being decoded."""

    @abstractmethod
    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place.

        Args:
            rows: [new rows] of int64: the old row that each new row continues.
            sentences: [new sentences] of int64: the old sentence of each new one; None when no sentence was dropped.
        """


class EncoderDecoder(nn.Module, ABC):
    """A sequence-to-sequence model.

    `features` and `project` are split so that a criterion may fuse the vocabulary projection with the loss. Decoding goes
    `start`, which encodes, → `step`, `step`, …; what `step` returns for a prefix equals the last row of `project(features)`.
    """

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """Return the last hidden layer, [batch, target length, dim]. Values at padded positions mean nothing."""

    @abstractmethod
    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., vocabulary] of features [..., dim]."""

    def output_layer(self) -> OutputLayer | None:
        """Return the projection's parameters when `project` is exactly linear, else None."""
        return None

    @abstractmethod
    def start(self, source: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        """Encode sources and prepare to decode `beam` prefixes of each.

        Args:
            source: [sentences, source length] of int64, padded on the right.
            lengths: [sentences] of int64.
            beam: prefixes per sentence; the state has sentences x beam rows.
        """

    @abstractmethod
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each prefix and return the logits [rows, vocabulary] of the next; the first is EOS.

        Args:
            tokens: [rows] of int64.
            state: what `start` returned; updated in place.
        """

    def max_positions(self) -> tuple[int | None, int | None]:
        """Return the longest source and target, EOS counted, that the model can take; None for no limit."""
        return None, None

    def set_num_updates(self, updates: int) -> None:
        """Learn how many updates have been done (for schedules inside a model)."""
