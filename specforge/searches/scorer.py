"""What a search asks: how probable is each next symbol? One model answers, or several together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from specforge.models.model import DecodingState, EncoderDecoder


class Scorer(ABC):
    """Says of prefixes how probable each next symbol is.

    Decoding goes `start`, then `step`, `step`, …; a search that drops or reorders prefixes tells the state
    (`DecodingState.select`). What a row gets does not depend on the other rows.
    """

    @abstractmethod
    def models(self) -> Sequence[nn.Module]:
        """Return what computes, in evaluation mode while anything is scored."""

    @abstractmethod
    def max_positions(self) -> Mapping[str, int]:
        """Return the longest `source` and `target` that can be scored, EOS counted; a role not named has no limit."""

    def longest_target(self, source_length: int) -> int | None:
        """Return the longest target that a source of some length leaves room for, EOS of both counted; None for no limit."""
        del source_length  # of those who keep source and target apart
        return self.max_positions().get("target")

    @abstractmethod
    def start(self, source: Tensor, lengths: Tensor, beam: int, *, attention: bool = False) -> DecodingState:
        """Take in sources, for `beam` prefixes of each.

        Args:
            source: [sentences, source length] of int64, padded on the right.
            lengths: [sentences] of int64.
            beam: prefixes per sentence; the state has sentences x beam rows.
            attention: whether the state is to know what each step looked at (`DecodingState.attention`), where it can be known.
        """

    @abstractmethod
    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Append one symbol to each prefix and return the log-probabilities of the next; the first is EOS.

        Args:
            tokens: [rows] of int64.
            state: what `start` returned; updated in place.

        Returns:
            [rows, vocabulary], a new tensor, in float32 or, where the model computes so, in float64.
        """


class ModelScorer(Scorer):
    """One model.

    Args:
        model: turns a source into a target.
    """

    def __init__(self, model: EncoderDecoder) -> None:
        self._model = model

    def models(self) -> Sequence[nn.Module]:
        """Return the model."""
        return (self._model,)

    def max_positions(self) -> Mapping[str, int]:
        """Return those of the model."""
        return self._model.max_positions()

    def start(self, source: Tensor, lengths: Tensor, beam: int, *, attention: bool = False) -> DecodingState:
        """Encode; see the base class."""
        state = self._model.start(source, lengths, beam)
        if attention:
            self._model.keep_attention(state)
        return state

    def step(self, tokens: Tensor, state: DecodingState) -> Tensor:
        """Return the model's log-probabilities; see the base class."""
        return log_probabilities(self._model.step(tokens, state))


def log_probabilities(logits: Tensor) -> Tensor:
    """Return log-probabilities [rows, vocabulary] in the place of logits, or in float32 if those are narrower.

    The full log-softmax is the quick way: on a CPU it costs less than the log-sum-exp alone (one fused pass against four).
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return torch.log_softmax(wide, dim=-1, out=wide)
