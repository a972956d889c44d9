"""Searches whose prefixes never meet: each goes its own way, one symbol at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from specforge.plugin import Symbols
from specforge.searches.dropping import closed_up
from specforge.searches.lattice import EndingsLog, Lattice
from specforge.searches.options import SearchConfig
from specforge.searches.restrictions import Restrictions, no_output, refuse_phrases
from specforge.searches.scorer import Scorer
from specforge.searches.search import Hypothesis, Search, Sources


class Chooser(ABC):
    """Chooses the next symbols of a batch."""

    @abstractmethod
    def choose(self, values: Tensor, step: int) -> Tensor:
        """Return a symbol for each row, [rows].

        Args:
            values: [rows, vocabulary] log-probabilities, -inf for what is ruled out.
            step: symbols that stand before it.
        """

    @abstractmethod
    def keep(self, sentences: Tensor) -> None:
        """Drop all sentences but some, [new sentences]."""


class Walk(Search):
    """Follows chosen symbols to the end; the score is the mean of what the model says of them.

    Args:
        name: of the search.
        config: bounds and penalties.
        walks: outputs for each sentence.
        temperature: log-probabilities are divided by it before a symbol is chosen.
    """

    def __init__(self, name: str, config: SearchConfig, *, walks: int = 1, temperature: float = 1.0) -> None:
        self._name = name
        self._bounds = config
        self._walks = walks
        self._temperature = temperature

    @property
    def prefixes(self) -> int:
        """The walks of a sentence."""
        return self._walks

    @abstractmethod
    def chooser(self, sources: Sources) -> Chooser:
        """Return what chooses symbols for a batch."""

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode a batch; as many hypotheses for each sentence as it has walks, the most probable first.

        Raises:
            StepFailedError: SF633, the model's scores are not numbers.
            WrongInputError: SF686, a sentence asks for phrases, or must begin with more than fits into the model.
        """
        refuse_phrases(sources, self._name)
        if len(sources) == 0:
            return []
        rules = Restrictions(self._bounds, sources, symbols, scorer, self._walks, self._temperature)
        chooser = self.chooser(sources)
        lattice, log = Lattice(), EndingsLog()
        rows = _Rows.fresh(sources, self._walks, symbols.eos)
        state = scorer.start(sources.tokens, sources.lengths, self._walks, attention=attention)
        step = 0
        while True:
            log_probs = scorer.step(rows.tokens, state)  # [rows, vocabulary]
            if state.attention is not None:
                lattice.looked(state.attention)
            values = rules.ranked(log_probs, step)
            if self._walks > 1:
                values = rows.settled(values, symbols.eos)
            tokens = chooser.choose(values, step)
            token_scores = _of(tokens, log_probs)
            rows = rows.extended(tokens, token_scores)
            if not bool((_of(tokens, values) > -inf).all()):  # nor is a NaN
                raise no_output()
            ended = (tokens == symbols.eos) & rows.open
            parents, kept = torch.arange(len(tokens), device=tokens.device), None
            if bool(ended.any()):
                scores = rows.sums[ended] / (step + 1)
                log.add(step, rows.owners[ended], parents[ended], token_scores[ended], scores)
                rows = rows.without(ended)
                kept = rows.open_sentences(self._walks)
            if kept is not None and len(kept) == 0:
                break
            if kept is not None:
                parents = parents.view(-1, self._walks)[kept].flatten()
                rows = rows.selected(parents)
                state.select(parents, kept)
                chooser.keep(kept)
            lattice.extend(parents, rows.tokens, token_scores[parents])
            rules.follow(parents, rows.tokens, kept)
            step += 1
        return lattice.hypotheses(log.endings().best(self._walks), sources.lengths.tolist())


@dataclass(frozen=True, slots=True)
class _Rows:
    """The outputs under way.

    Args:
        owners: [rows] the sentence that each belongs to.
        open: [rows] whether it has not ended; its sentence's others may be open yet.
        tokens: [rows] the latest symbol.
        sums: [rows] of what the model said of the symbols.
    """

    owners: Tensor
    open: Tensor
    tokens: Tensor
    sums: Tensor

    @classmethod
    def fresh(cls, sources: Sources, walks: int, eos: int) -> _Rows:
        """Return empty outputs."""
        owners = torch.arange(len(sources), device=sources.tokens.device).repeat_interleave(walks)
        opened = torch.ones_like(owners, dtype=torch.bool)
        return cls(owners, opened, torch.full_like(owners, eos), torch.zeros(len(owners), device=owners.device))

    def extended(self, tokens: Tensor, token_scores: Tensor) -> _Rows:
        """Return them with one more symbol each."""
        return _Rows(self.owners, self.open, tokens, self.sums + token_scores)

    def settled(self, values: Tensor, eos: int) -> Tensor:
        """Return [rows, vocabulary] values by which what has ended says nothing but its end, again and again; in place."""
        values.masked_fill_(~self.open[:, None], -inf)
        values[:, eos].masked_fill_(~self.open, 0.0)
        return values

    def without(self, ended: Tensor) -> _Rows:
        """Return them without what ended just now, [rows] of bool."""
        return _Rows(self.owners, self.open & ~ended, self.tokens, self.sums)

    def open_sentences(self, walks: int) -> Tensor | None:
        """Return the sentences that have open rows, [sentences that go on]; None for all."""
        going = self.open.view(-1, walks).any(dim=1)
        return None if bool(going.all()) else closed_up(going)

    def selected(self, rows: Tensor) -> _Rows:
        """Return some of them."""
        return _Rows(self.owners[rows], self.open[rows], self.tokens[rows], self.sums[rows])


def _of(tokens: Tensor, values: Tensor) -> Tensor:
    """Return the value of each row's symbol, [rows]."""
    return values.gather(1, tokens[:, None]).squeeze(1)
