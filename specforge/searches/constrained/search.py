"""Beam search whose outputs hold given phrases: dynamic beam allocation (Post and Vilar 2018; Hu et al. 2019).

Candidates are the best continuations of all prefixes, the best one of each prefix, and those that go on with a phrase. They
stand in banks by how many symbols of phrases they hold, and the beam takes from the banks in turn, the fullest first: the best
of each bank, then the second of each, and so on. No prefix ends before it holds everything; and where only as many symbols are
left as the phrases still need, one after the other, nothing else may come. So every hypothesis holds every phrase. Where nothing
is asked of a sentence this is beam search.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from specforge.foundation.errors import WrongInputError
from specforge.plugin import Symbols
from specforge.searches.beam.loop import PrefixSearch, Selector
from specforge.searches.beam.prefixes import Candidates, best_continuations
from specforge.searches.constrained.config import ConstrainedConfig
from specforge.searches.constrained.phrases import Phrases, Standing
from specforge.searches.restrictions import Restrictions
from specforge.searches.search import Constraints, Search, Sources


class ConstrainedSearch(PrefixSearch):
    """Keeps the `beam` best prefixes of each sentence, shared among those that have come more or less far."""

    def __init__(self, config: ConstrainedConfig) -> None:
        super().__init__(config, keep_best=config.finish == "best", early_stop=config.early_stop)
        self._config = config

    def selector(self, sources: Sources, symbols: Symbols, rules: Restrictions) -> Selector:
        """Return the choice that heeds phrases.

        Raises:
            WrongInputError: SF686, a phrase holds the end of sentence, or there is no room for all phrases.
        """
        longest = rules.longest.tolist()
        wishes = [
            _Wish(each, length, symbols.eos, ordered=self._config.ordered)
            for each, length in zip(sources.constraints or [Constraints()] * len(longest), longest, strict=True)
        ]
        return _Banks(wishes, self._config.beam, symbols.eos, rules)


class _Wish:
    """What is asked of a sentence's output.

    Args:
        constraints: of the sentence.
        longest: the most symbols of its output.
        eos: the symbol that ends.
        ordered: whether the order of the phrases counts.
    """

    def __init__(self, constraints: Constraints, longest: int, eos: int, *, ordered: bool) -> None:
        self.phrases = Phrases([phrase for phrase in constraints.phrases if phrase], ordered=ordered)
        self.longest = longest
        self.prefix = len(constraints.prefix)
        if any(eos in phrase for phrase in constraints.phrases):
            raise WrongInputError("SF686", "a phrase holds the end of sentence, and nothing can follow that")
        state, symbols = self.phrases.start, 0
        for symbol in constraints.prefix:
            if symbol == eos:
                longest = symbols
                break
            state, symbols = self.phrases.after(state, symbol), symbols + 1
        needed, room = self.phrases.missing(state), longest - symbols
        if needed > room:
            after = f" after the {symbols:,} that it begins with" if symbols else ""
            raise WrongInputError(
                "SF686",
                f"the phrases of an output need room for {needed:,} symbol{'' if needed == 1 else 's'}, one after the other, "
                f"and there is room for {room:,}{after}",
                help="raise `max_length`, or ask for less",
            )


class _Banks(Selector):
    """Chooses from banks of candidates.

    Args:
        wishes: of the open sentences.
        width: prefixes of each.
        eos: the symbol that ends.
        rules: told which symbols to spare.
    """

    def __init__(self, wishes: Sequence[_Wish], width: int, eos: int, rules: Restrictions) -> None:
        self._wishes = list(wishes)
        self._width = width
        self._eos = eos
        self._rules = rules
        self._states = [wish.phrases.start for wish in wishes for _ in range(width)]  # of each row
        self._spare()

    def candidates(self, sums: Tensor, values: Tensor, log_probs: Tensor, step: int) -> Candidates:
        """Return the best of each bank in turn; see the base class."""
        del log_probs
        live = (sums > -inf).flatten().nonzero().squeeze(1).tolist()
        demanding = [row for row in live if self._demands(row, step)]
        if not demanding:
            return best_continuations(sums, values)
        self._hold_to_wishes(values, demanding, step)
        best = best_continuations(sums, values)
        if bool(best.scores.isnan().any()):
            return best
        sentences = {row // self._width for row in demanding}
        rows = [row for row in live if row // self._width in sentences]
        pairs = [(row, symbol) for row in demanding for symbol in self._standing(row).wanted]
        pairs += zip(rows, values[rows].argmax(dim=1).tolist(), strict=True)
        where, symbols = torch.tensor(pairs, device=sums.device).unbind(1)
        totals = (sums.flatten()[where] + values[where, symbols]).tolist()
        others: dict[int, dict[tuple[int, int], float]] = {sentence: {} for sentence in sentences}
        for pair, total in zip(pairs, totals, strict=True):
            others[pair[0] // self._width][pair] = total
        for sentence in sentences:
            self._share_out(best, sentence, others[sentence])
        return best

    def follow(self, rows: Tensor, tokens: Tensor, kept: Tensor | None) -> None:
        """Let the automata read; see the base class."""
        self._states = [
            self._wishes[row // self._width].phrases.after(self._states[row], token)
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True)
        ]
        if kept is not None:
            self._wishes = [self._wishes[sentence] for sentence in kept.tolist()]
        self._spare()

    def _standing(self, row: int) -> Standing:
        return self._wishes[row // self._width].phrases.standing(self._states[row])

    def _demands(self, row: int, step: int) -> bool:
        """Return whether a prefix lacks phrases and is free to say them."""
        wish = self._wishes[row // self._width]
        return step >= wish.prefix and wish.phrases.missing(self._states[row]) > 0

    def _spare(self) -> None:
        """Let phrases be said whatever they repeat."""
        self._rules.spare([(row, symbol) for row in range(len(self._states)) for symbol in self._standing(row).wanted])

    def _hold_to_wishes(self, values: Tensor, demanding: list[int], step: int) -> None:
        """Rule out, in place, the end of what lacks phrases, and all that would leave too little room for them."""
        values[demanding, self._eos] = -inf
        tight: list[int] = []
        allowed: list[tuple[int, int]] = []
        for row in demanding:
            wish, standing = self._wishes[row // self._width], self._standing(row)
            room = wish.longest - step - 1  # after the next symbol
            if wish.phrases.total - standing.kept > room:
                tight.append(row)
                allowed += [(row, symbol) for symbol, to in standing.wanted.items() if wish.phrases.missing(to) <= room]
        if tight:
            rows, symbols = torch.tensor(allowed, device=values.device).unbind(1)
            spared = values[rows, symbols]
            values[tight] = -inf
            values[rows, symbols] = spared

    def _share_out(self, candidates: Candidates, sentence: int, others: dict[tuple[int, int], float]) -> None:
        """Put candidates of a sentence in the order of their banks, in place, with others among them.

        Args:
            candidates: of all sentences.
            sentence: the sentence.
            others: (row, symbol) → sum.
        """
        known = zip(candidates.rows[sentence].tolist(), candidates.tokens[sentence].tolist(), strict=True)
        totals = {**others, **dict(zip(known, candidates.scores[sentence].tolist(), strict=True))}
        phrases = self._wishes[sentence].phrases
        banks: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
        for (row, symbol), total in totals.items():
            if total > -inf:
                missing = phrases.missing(phrases.after(self._states[row], symbol))
                banks[missing].append((-total, row, symbol))
        turns = sorted(
            (turn, missing, *each) for missing, bank in banks.items() for turn, each in enumerate(sorted(bank))
        )
        chosen = turns[: candidates.scores.shape[1]]
        costs, rows, symbols = zip(*(each[2:] for each in chosen), strict=True)
        candidates.scores[sentence] = -inf
        candidates.scores[sentence, : len(chosen)] = -torch.tensor(costs, dtype=torch.float64).to(candidates.scores)
        candidates.rows[sentence, : len(chosen)] = torch.tensor(rows).to(candidates.rows)
        candidates.tokens[sentence, : len(chosen)] = torch.tensor(symbols).to(candidates.tokens)


def build(config: ConstrainedConfig) -> Search:
    """Return the search."""
    return ConstrainedSearch(config)
