"""What a task hands to a model: padded integer tensors."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, device


@dataclass(frozen=True, slots=True)
class Batch:
    """A micro-batch of a sequence-to-sequence task, padded on the right.

    Args:
        source: [batch, source length] of int64, each row ends with EOS before its padding.
        source_lengths: [batch] of int64, EOS counted.
        target_in: [batch, target length]: EOS, then the target without its last symbol.
        target_out: [batch, target length]: the target, EOS at its end; padding where there is no target.
        target_lengths: [batch] of int64, EOS counted.
        target_tokens: number of target symbols, padding not counted.
    """

    source: Tensor
    source_lengths: Tensor
    target_in: Tensor
    target_out: Tensor
    target_lengths: Tensor
    target_tokens: int

    def to(self, where: device) -> Batch:
        """Return the batch on another device."""
        return Batch(
            self.source.to(where, non_blocking=True),
            self.source_lengths.to(where, non_blocking=True),
            self.target_in.to(where, non_blocking=True),
            self.target_out.to(where, non_blocking=True),
            self.target_lengths.to(where, non_blocking=True),
            self.target_tokens,
        )
