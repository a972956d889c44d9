"""Greedy search: the most probable symbol at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from specforge.plugin import Symbols
from specforge.searches.greedy.config import GreedyConfig
from specforge.searches.log_probs import forbid, no_output
from specforge.searches.scorer import Scorer
from specforge.searches.search import Hypothesis, Search, Sources


class GreedySearch(Search):
    """Follows the best symbol; gives exactly what beam search with `beam = 1` gives."""

    def __init__(self, config: GreedyConfig) -> None:
        self._config = config

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode a batch; one hypothesis for each sentence, its score the mean log-probability of its symbols.

        Raises:
            StepFailedError: SF633, the model's scores are not numbers.
        """
        source, positions = sources.tokens, scorer.max_positions().get("target")
        longest = [self._config.longest(length, positions) for length in sources.lengths.tolist()]
        limits = torch.tensor(longest, device=source.device)  # [rows], as all below: one row for each open sentence
        sentences = torch.arange(len(longest), device=source.device)
        tokens = torch.full_like(sentences, symbols.eos)
        chosen = source.new_empty(len(longest), 0)  # [rows, step]
        chosen_scores = torch.empty(chosen.shape, device=source.device)
        found: dict[int, Hypothesis] = {}
        state = scorer.start(source, sources.lengths, 1)
        shortest_limit = min(longest, default=0)
        for step in range(max(longest, default=-1) + 1):
            log_probs = scorer.step(tokens, state)  # [rows, vocabulary]
            at_limit = limits <= step if step >= shortest_limit else None
            forbid(log_probs, symbols, end=step < self._config.min_length, end_only=at_limit)
            scores, tokens = log_probs.max(dim=-1)
            if not bool(scores.isfinite().all()):
                raise no_output()
            chosen = torch.cat([chosen, tokens[:, None]], dim=1)
            chosen_scores = torch.cat([chosen_scores, scores[:, None]], dim=1)
            ended = tokens == symbols.eos
            if not bool(ended.any()):
                continue
            found.update(_hypotheses(sentences[ended], chosen[ended], chosen_scores[ended]))
            rows = (~ended).nonzero().squeeze(1)
            if len(rows) == 0:
                break
            state.select(rows, rows)
            sentences, tokens, limits = sentences[rows], tokens[rows], limits[rows]
            chosen, chosen_scores = chosen[rows], chosen_scores[rows]
        return [[found[sentence]] for sentence in range(len(longest))]


def _hypotheses(sentences: Tensor, tokens: Tensor, scores: Tensor) -> dict[int, Hypothesis]:
    """Return what ended, by sentence; tokens and scores are [ended, length], the end of sentence last."""
    means = scores.mean(dim=1).tolist()
    rows = zip(sentences.tolist(), tokens[:, :-1].tolist(), scores.tolist(), means, strict=True)
    return {sentence: Hypothesis(tuple(prefix), mean, tuple(each)) for sentence, prefix, each, mean in rows}


def build(config: GreedyConfig) -> Search:
    """Return the search."""
    return GreedySearch(config)
