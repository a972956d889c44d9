"""The prefixes that beam search keeps, and the candidates to replace them."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best continuations of each sentence, best first.

    They are twice as many as the beam: each prefix has one way to end, so at least `beam` of them do not end.

    Args:
        rows: [sentences, candidates] the prefix that is continued, counted over the whole batch.
        tokens: [sentences, candidates] the symbol it is continued with.
        token_scores: [sentences, candidates] what that symbol adds.
        scores: [sentences, candidates] the sum; -inf where there is no candidate.
    """

    rows: Tensor
    tokens: Tensor
    token_scores: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Prefixes:
    """`beam` prefixes of each sentence that is still being decoded.

    Args:
        tokens: [sentences x beam, step] of int64, without the EOS they start from.
        token_scores: [sentences x beam, step] what each symbol added.
        scores: [sentences, beam] the sums; -inf where there is no prefix.
    """

    tokens: Tensor
    token_scores: Tensor
    scores: Tensor

    @classmethod
    def empty(cls, sentences: int, beam: int, device: torch.device) -> Prefixes:
        """Return one empty prefix for each sentence; the others do not exist, or all would be the same."""
        scores = torch.full((sentences, beam), -inf, device=device)
        scores[:, 0] = 0.0
        rows = sentences * beam
        return cls(torch.empty(rows, 0, dtype=torch.int64, device=device), torch.empty(rows, 0, device=device), scores)

    def candidates(self, log_probs: Tensor) -> Candidates:
        """Return the best 2 x beam continuations of each sentence.

        Args:
            log_probs: [sentences x beam, vocabulary]; symbols ruled out are -inf.
        """
        sentences, beam = self.scores.shape
        # Of one prefix, at most `beam` continuations and its end can matter: no need to rank the whole matrix.
        values, symbols = log_probs.topk(min(beam + 1, log_probs.shape[1]), dim=1)  # [sentences x beam, width]
        width = values.shape[1]
        totals = (values.view(sentences, beam, width) + self.scores[:, :, None]).flatten(1)
        scores, picked = totals.topk(min(2 * beam, beam * width), dim=1)  # [sentences, candidates]
        first_rows = torch.arange(sentences, device=scores.device)[:, None] * beam
        return Candidates(
            rows=first_rows + picked.div(width, rounding_mode="floor"),
            tokens=symbols.view(sentences, -1).gather(1, picked),
            token_scores=values.view(sentences, -1).gather(1, picked),
            scores=scores,
        )

    def extended(self, chosen: Candidates) -> Prefixes:
        """Return the prefixes that chosen candidates, [sentences, beam], make of these."""
        rows = chosen.rows.flatten()
        return Prefixes(
            tokens=torch.cat([self.tokens[rows], chosen.tokens.view(-1, 1)], dim=1),
            token_scores=torch.cat([self.token_scores[rows], chosen.token_scores.view(-1, 1)], dim=1),
            scores=chosen.scores,
        )


def continuing(candidates: Candidates, beam: int, eos: int, kept: Tensor | None) -> Candidates:
    """Return the first `beam` candidates of each sentence that do not end.

    Args:
        candidates: at least `beam` of each sentence do not end.
        beam: how many go on.
        eos: the symbol that ends.
        kept: [new sentences] the sentences that go on; None for all.
    """
    order = (candidates.tokens == eos).to(torch.int8).argsort(dim=1, stable=True)[:, :beam]
    if kept is not None:
        order = order[kept]

    def pick(values: Tensor) -> Tensor:
        return (values if kept is None else values[kept]).gather(1, order)

    scores = pick(candidates.scores)
    # What does not exist is continued with EOS, a symbol that every model knows; nothing ever comes of it.
    tokens = pick(candidates.tokens).masked_fill(scores == -inf, eos)
    return Candidates(pick(candidates.rows), tokens, pick(candidates.token_scores), scores)
