"""The contract between models and the rest: features and projection for training, start and step for decoding.

A model belongs to a family, and a task says which family it trains (`TaskConfig.family`): that is what lets a model know what
its batches hold.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from torch import Tensor, nn

from specforge.data.batch import Batch
from specforge.modules.recorder import Recorder


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

    @property
    def attention(self) -> Tensor | None:
        """How much the last step of each row looked at each source symbol, [rows, source length]; None where nobody asked.

        Each row sums to 1 over the symbols of its source.
        """
        return None

    @abstractmethod
    def select(self, rows: Tensor, sentences: Tensor | None = None) -> None:
        """Reorder and drop, in place.

        Args:
            rows: [new rows] of int64: the old row that each new row continues.
            sentences: [new sentences] of int64: the old sentence of each new one; None when no sentence was dropped.
        """


class Model(nn.Module, ABC):
    """What all families have in common, and all that trainer and criterions see.

    `features` and `project` are split so that a criterion may fuse the projection to what is predicted with the loss.
    """

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """Return the last hidden layer: [..., dim] for targets [...]. Values where no target counts mean nothing."""

    @abstractmethod
    def project(self, features: Tensor) -> Tensor:
        """Return logits [..., types] of features [..., dim], a tensor that nobody else needs: it may be changed."""

    def output_layer(self) -> OutputLayer | None:
        """Return the projection's parameters when `project` is exactly linear, else None."""
        return None

    def blocks(self) -> Sequence[nn.Module]:
        """Return the layers whose weights training uses inside of their own `forward` and nowhere else, as they compute.

        Where several devices share the weights, those of a layer are together only while it computes; all others for a whole
        update.
        """
        return ()

    def max_positions(self) -> Mapping[str, int]:
        """Return the longest item that the model can take, EOS counted, by column role; a role not named has no limit."""
        return {}

    def set_num_updates(self, updates: int) -> None:
        """Learn how many updates have been done (for schedules inside a model)."""


class EncoderDecoder(Model):
    """A sequence-to-sequence model.

    Decoding goes `start`, which encodes, → `step`, `step`, …; what `step` returns for a prefix equals the last row of
    `project(features)`.
    """

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """Return the last hidden layer, [batch, target length, dim]. Values at padded positions mean nothing."""

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

        Returns:
            A tensor that nobody else needs: it is changed.
        """

    def keep_attention(self, state: DecodingState) -> bool:
        """Let further steps keep what they look at in `state.attention`.

        Returns:
            Whether they will; a model without attention to its source does nothing and returns False.
        """
        del state
        return False

    def record_steps(self, recorder: Recorder) -> bool:
        """Decode by recordings of steps from now on, for a device that would wait for Python; weights stay as they are.

        Returns:
            Whether it will; a model that cannot does nothing and returns False.
        """
        del recorder
        return False


class LanguageModel(Model):
    """A decoder-only model: every symbol from those before it.

    Decoding goes `start`, which takes in what stands there already, → `step`, `step`, …; what `step` returns equals the last
    row of `project(features)` for the text so far.
    """

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """Return the last hidden layer, [batch, length, dim]. Values at padded positions mean nothing."""

    @abstractmethod
    def start(self, text: Tensor, lengths: Tensor, beam: int) -> DecodingState:
        """Take in texts in one pass and prepare to go on with `beam` continuations of each.

        Args:
            text: [sentences, longest] of int64, padded on the right; EOS stands before the first symbol of each text.
            lengths: [sentences] of int64, that EOS counted; 0 where nothing stands there yet.
            beam: continuations per sentence; the state has sentences x beam rows.
        """

    @abstractmethod
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each text and return the logits [rows, vocabulary] of the next; the first symbol is EOS.

        Args:
            tokens: [rows] of int64.
            state: what `start` returned; updated in place.

        Returns:
            A tensor that nobody else needs: it is changed.
        """


class Classifier(Model):
    """An encoder-only model: one vector for each text, from which its label is predicted."""

    @abstractmethod
    def features(self, batch: Batch) -> Tensor:
        """Return the vector that labels are predicted from, [batch, dim]."""


FAMILIES: Final[Mapping[str, type[object]]] = MappingProxyType(
    {"encoder_decoder": EncoderDecoder, "language_model": LanguageModel, "classifier": Classifier}
)
"""The families by the names that `TaskConfig.family` and `ModelConfig.family` know them by."""
