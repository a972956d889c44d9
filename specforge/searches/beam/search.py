"""Beam search with fairseq's rules, each sentence by itself.

At each step the best 2 x beam continuations of a sentence are its candidates. Those among the first `beam` that end are
finished; the first `beam` that do not end go on. A sentence is done when `beam` hypotheses are finished, or at its
greatest length, where only the end is allowed. Finished hypotheses are ranked by sum / length ** lenpen, the end counted.
There is no early stop by bounds and no pruning.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from specforge.models.model import DecodingState
from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.prefixes import Candidates, Prefixes, continuing
from specforge.searches.log_probs import forbid, no_output
from specforge.searches.scorer import Scorer
from specforge.searches.search import Hypothesis, Search, Sources


class BeamSearch(Search):
    """Keeps the `beam` best prefixes of each sentence."""

    def __init__(self, config: BeamConfig) -> None:
        self._config = config

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode a batch; at most `beam` hypotheses for each sentence.

        Raises:
            StepFailedError: SF633, the model's scores are not numbers.
        """
        beam = self._config.beam
        positions = scorer.max_positions().get("target")
        longest = [self._config.longest(length, positions) for length in sources.lengths.tolist()]
        finished: list[list[Hypothesis]] = [[] for _ in longest]
        active = list(range(len(longest)))  # the sentences still being decoded
        if not active:
            return finished
        device = sources.tokens.device
        state = scorer.start(sources.tokens, sources.lengths, beam)
        prefixes = Prefixes.empty(len(active), beam, device)
        tokens = torch.full((len(active) * beam,), symbols.eos, device=device)
        for step in range(max(longest) + 1):
            log_probs = scorer.step(tokens, state)  # [sentences x beam, vocabulary]
            self._restrict(log_probs, symbols, step, [longest[sentence] for sentence in active])
            candidates = prefixes.candidates(log_probs)
            if bool(candidates.scores.isnan().any()):
                raise no_output()
            self._finish(candidates, prefixes, symbols, [finished[sentence] for sentence in active])
            open_now = [
                place
                for place, sentence in enumerate(active)
                if len(finished[sentence]) < beam and step < longest[sentence]
            ]
            if not open_now:
                break
            kept = None if len(open_now) == len(active) else torch.tensor(open_now, device=device)
            active = [active[place] for place in open_now]
            chosen = continuing(candidates, beam, symbols.eos, kept)
            prefixes = prefixes.extended(chosen)
            _reorder(state, chosen.rows.flatten(), kept)
            tokens = chosen.tokens.flatten()
        if not all(finished):
            raise no_output()
        return [sorted(hypotheses, key=lambda hypothesis: -hypothesis.score) for hypotheses in finished]

    def _restrict(self, log_probs: Tensor, symbols: Symbols, step: int, longest: list[int]) -> None:
        if self._config.unkpen:
            log_probs[:, symbols.unk] -= self._config.unkpen
        at_limit = None
        if step >= min(longest):
            must_end = torch.tensor([step >= limit for limit in longest], device=log_probs.device)
            at_limit = must_end.repeat_interleave(self._config.beam)
        forbid(log_probs, symbols, end=step < self._config.min_length, end_only=at_limit)

    def _finish(
        self, candidates: Candidates, prefixes: Prefixes, symbols: Symbols, finished: list[list[Hypothesis]]
    ) -> None:
        """Move what ends among the first `beam` candidates into `finished`, which has a list for each sentence."""
        beam = self._config.beam
        ends = (candidates.tokens[:, :beam] == symbols.eos) & (candidates.scores[:, :beam] > -inf)
        places = ends.nonzero()  # [ending, 2], by sentence, best first
        if len(places) == 0:
            return
        sentences, ranks = places.unbind(1)
        rows = candidates.rows[sentences, ranks]
        for sentence, tokens, token_scores, last, total in zip(
            sentences.tolist(),
            prefixes.tokens[rows].tolist(),
            prefixes.token_scores[rows].tolist(),
            candidates.token_scores[sentences, ranks].tolist(),
            candidates.scores[sentences, ranks].tolist(),
            strict=True,
        ):
            if len(finished[sentence]) < beam:
                finished[sentence].append(self._hypothesis(tokens, [*token_scores, last], total, symbols.unk))

    def _hypothesis(self, tokens: list[int], token_scores: list[float], total: float, unk: int) -> Hypothesis:
        score = total / len(token_scores) ** self._config.lenpen if self._config.normalize else total
        if self._config.unkpen:  # the penalty ranks hypotheses; it is no part of what the model says of a symbol
            penalties = [self._config.unkpen * (token == unk) for token in tokens]
            token_scores = [each + penalty for each, penalty in zip(token_scores, [*penalties, 0.0], strict=True)]
        return Hypothesis(tuple(tokens), score, tuple(token_scores))


def _reorder(state: DecodingState, rows: Tensor, kept: Tensor | None) -> None:
    """Let the decoder follow, unless every prefix continues itself: moving its caches is the dear part of a step."""
    if kept is not None or not torch.equal(rows, torch.arange(len(rows), device=rows.device)):
        state.select(rows, kept)


def build(config: BeamConfig) -> Search:
    """Return the search."""
    return BeamSearch(config)
