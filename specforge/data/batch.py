"""What a task hands to its models: padded integer tensors, and which targets count."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self

import torch
from torch import Tensor

from specforge.data.vocabulary import PAD


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(ABC):
    """A micro-batch. Criterions see this much of it; what else it holds is between a task and the models of its family.

    Its kinds are frozen dataclasses, too: what must be done to all tensors finds them by the fields.

    Args:
        target_tokens: how many targets count.
        symbols: role → symbols of that column without padding, where somebody has counted them on the host.
    """

    target_tokens: int
    symbols: Mapping[str, int] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.targets)

    @property
    @abstractmethod
    def targets(self) -> Tensor:
        """[batch, ...] of int64: what is to be predicted at each place of the model's features [batch, ..., dim]."""

    @property
    @abstractmethod
    def counted(self) -> Tensor:
        """[batch, ...] of bool: which targets count; the others are padding, or are only there to be looked at."""

    @abstractmethod
    def sides(self) -> Mapping[str, int]:
        """Return what each column is padded to: role → tokens."""

    def to(self, where: torch.device) -> Self:
        """Return the batch on another device."""
        return self._with({name: tensor.to(where, non_blocking=True) for name, tensor in self.tensors().items()})

    def pinned(self) -> Self:
        """Return the batch in memory that a GPU copies from by itself, while the processor goes on."""
        return self._with({name: tensor.pin_memory() for name, tensor in self.tensors().items()})

    def rows(self, start: int, stop: int) -> Self:
        """Return some of the items, padded as they are here."""
        rows = self._with({name: tensor[start:stop] for name, tensor in self.tensors().items()})
        return replace(rows, target_tokens=int(rows.counted.sum()), symbols={})

    def _with(self, tensors: Mapping[str, Tensor]) -> Self:
        return replace(self, **tensors)  # type: ignore[arg-type]  # by name these are tensors all

    def tensors(self) -> dict[str, Tensor]:
        """Return its tensors by field; the first dimension of each is the items."""
        held = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in held.items() if isinstance(value, Tensor)}


@dataclass(frozen=True, slots=True)
class SequencePairBatch(Batch):
    """A micro-batch of a sequence-to-sequence task, padded on the right.

    Args:
        source: [batch, source length] of int64, each row ends with EOS before its padding.
        source_lengths: [batch] of int64, EOS counted.
        target_in: [batch, target length]: EOS, then the target without its last symbol.
        target_out: [batch, target length]: the target, EOS at its end; padding where there is no target.
        target_lengths: [batch] of int64, EOS counted.
    """

    source: Tensor
    source_lengths: Tensor
    target_in: Tensor
    target_out: Tensor
    target_lengths: Tensor

    @property
    def targets(self) -> Tensor:
        """[batch, target length]: `target_out`."""
        return self.target_out

    @property
    def counted(self) -> Tensor:
        """[batch, target length]: all but padding."""
        return self.target_out != PAD

    def sides(self) -> Mapping[str, int]:
        """Return the lengths of source and target with padding."""
        return {"source": self.source.shape[1], "target": self.target_out.shape[1]}


@dataclass(frozen=True, slots=True)
class SequenceBatch(Batch):
    """A micro-batch of a language model, padded on the right: each symbol is predicted from those before it.

    Args:
        text_in: [batch, length] of int64: at each place the symbol before the one to predict.
        text_out: [batch, length]: the symbol to predict; padding where there is none, or one that does not count.
        lengths: [batch] of int64: places of each row that are no padding.
    """

    text_in: Tensor
    text_out: Tensor
    lengths: Tensor

    @property
    def targets(self) -> Tensor:
        """[batch, length]: `text_out`."""
        return self.text_out

    @property
    def counted(self) -> Tensor:
        """[batch, length]: all but padding and what does not count."""
        return self.text_out != PAD

    def sides(self) -> Mapping[str, int]:
        """Return the length with padding."""
        return {"text": self.text_in.shape[1]}


@dataclass(frozen=True, slots=True)
class ClassificationBatch(Batch):
    """A micro-batch of texts with a label each, padded on the right.

    Args:
        text: [batch, length] of int64, each row ends with EOS before its padding.
        text_lengths: [batch] of int64, EOS counted.
        labels: [batch] of int64.
    """

    text: Tensor
    text_lengths: Tensor
    labels: Tensor

    @property
    def targets(self) -> Tensor:
        """[batch]: `labels`."""
        return self.labels

    @property
    def counted(self) -> Tensor:
        """[batch]: all of them."""
        return torch.ones_like(self.labels, dtype=torch.bool)

    def sides(self) -> Mapping[str, int]:
        """Return the length of the texts with padding; labels have none."""
        return {"text": self.text.shape[1]}
