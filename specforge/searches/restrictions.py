"""From what a model says to what may come next: the rules that every search shares, applied to log-probabilities.

The strongest first: what a sentence's output must begin with; where it must end and where it must not yet; runs of symbols
that may not stand twice. Then what a symbol counts: temperature and the penalty of the unknown symbol.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from specforge.foundation.errors import StepFailedError, WrongInputError
from specforge.plugin import Symbols
from specforge.searches.options import SearchConfig
from specforge.searches.scorer import Scorer
from specforge.searches.search import Sources


class Restrictions:
    """What may come next in the outputs of a batch.

    Args:
        config: the options.
        sources: the sentences.
        symbols: the target vocabulary.
        scorer: knows how long an output can be.
        rows: prefixes of each sentence.
        temperature: log-probabilities are divided by it and normalised again.

    Raises:
        WrongInputError: SF686, a sentence must begin with more than fits into the model.
    """

    def __init__(
        self,
        config: SearchConfig,
        sources: Sources,
        symbols: Symbols,
        scorer: Scorer,
        rows: int,
        temperature: float = 1.0,
    ) -> None:
        self._symbols = symbols
        self._rows = rows
        self._temperature = temperature
        self._unkpen = config.unkpen
        self._ngram = config.no_repeat_ngram
        device = sources.tokens.device
        lengths = sources.lengths.tolist()
        prefixes = [_up_to_end(each.prefix, symbols.eos) for each in sources.constraints] or [()] * len(lengths)
        longest = [
            _longest(config, length, scorer.longest_target(length), len(prefix) - (symbols.eos in prefix))
            for length, prefix in zip(lengths, prefixes, strict=True)
        ]
        shortest = [config.shortest(length) for length in lengths]
        self._least_longest = min(longest, default=0)
        self._most_shortest = max(shortest, default=0)
        self._shortest = torch.tensor(shortest, device=device)
        self._longest = torch.tensor(longest, device=device)
        self._prefixes = _padded(prefixes, device)
        self._spared: Tensor | None = None
        self._said = sources.tokens.new_empty(len(lengths) * rows, 0)

    @property
    def longest(self) -> Tensor:
        """[sentences] how many symbols the output of each open sentence may have."""
        return self._longest

    def ranked(self, log_probs: Tensor, step: int) -> Tensor:
        """Return what continuations are ranked by, [rows, vocabulary]; -inf for what is ruled out.

        Args:
            log_probs: [rows, vocabulary]; may be changed, but only where a symbol is ruled out.
            step: symbols that stand before the next.
        """
        values = log_probs
        if self._temperature != 1.0:
            values = torch.log_softmax(values / self._temperature, dim=-1)
        elif self._unkpen:
            values = values.clone()
        if self._unkpen:
            values[:, self._symbols.unk] -= self._unkpen
        if step >= self._prefixes.shape[1]:
            self._rule_out(values, step)
            return values
        forced = self._each_row(self._prefixes[:, step])[:, None]  # [rows, 1], -1 where a prefix is over
        symbols = forced.clamp(min=0)
        certain = values.gather(1, symbols)
        self._rule_out(values, step)
        values.masked_fill_(forced >= 0, -inf)
        return values.scatter_(1, symbols, torch.where(forced >= 0, certain, values.gather(1, symbols)))

    def follow(self, rows: Tensor, tokens: Tensor, kept: Tensor | None) -> None:
        """Go along with the rows of a search.

        Args:
            rows: [new rows] the row that each continues.
            tokens: [new rows] the symbol it is continued with.
            kept: [new sentences] the sentences that go on; None for all.
        """
        if self._ngram:
            self._said = torch.cat([self._said[rows], tokens[:, None]], dim=1)
        if kept is not None:
            self._longest, self._shortest = self._longest[kept], self._shortest[kept]
            self._prefixes = self._prefixes[kept]

    def spare(self, pairs: Sequence[tuple[int, int]]) -> None:
        """Let symbols come next even where they repeat something; replaces what was spared before.

        Args:
            pairs: (row, symbol).
        """
        if self._ngram and pairs:
            self._spared = torch.tensor(pairs, device=self._said.device)
        else:
            self._spared = None

    def _rule_out(self, values: Tensor, step: int) -> None:
        """Rule out, in place, all but what a prefix asks for."""
        ends = values[:, self._symbols.eos]  # a view
        limited = step >= self._least_longest
        before = ends.clone() if limited else ends
        values[:, self._symbols.pad] = -inf
        if step < self._most_shortest:
            ends.masked_fill_(self._each_row(self._shortest > step), -inf)
        if self._ngram and step >= self._ngram:
            self._rule_out_repetitions(values)
        if limited:
            at_limit = self._each_row(self._longest <= step)
            values.masked_fill_(at_limit[:, None], -inf)
            ends.copy_(torch.where(at_limit, before, ends))

    def _rule_out_repetitions(self, values: Tensor) -> None:
        """Rule out what would make a run of symbols that stands there already. Source: Paulus et al. 2018."""
        runs = self._said.unfold(1, self._ngram, 1)  # [rows, runs, n]
        latest = self._said[:, self._said.shape[1] - self._ngram + 1 :]  # [rows, n - 1]
        same = (runs[:, :, :-1] == latest[:, None]).all(dim=2)  # [rows, runs]
        spared = None if self._spared is None else values[self._spared[:, 0], self._spared[:, 1]]
        values.scatter_add_(1, runs[:, :, -1], torch.zeros_like(same, dtype=values.dtype).masked_fill(same, -inf))
        if self._spared is not None and spared is not None:
            values[self._spared[:, 0], self._spared[:, 1]] = spared

    def _each_row(self, sentences: Tensor) -> Tensor:
        return sentences if self._rows == 1 else sentences.repeat_interleave(self._rows)


def no_output() -> StepFailedError:
    """Return the error of a search that can go nowhere: scores are not numbers, or nothing is possible."""
    return StepFailedError(
        "SF633",
        "the model's scores are not numbers, or make every output impossible",
        notes=(
            "its weights, or what it computed from them, hold NaN or infinity; or the options of the search leave no symbol",
        ),
    )


def refuse_phrases(sources: Sources, search: str) -> None:
    """Make sure that no sentence asks for phrases.

    Args:
        sources: the sentences.
        search: name of the search.

    Raises:
        WrongInputError: SF686, one does.
    """
    if any(each.phrases for each in sources.constraints):
        raise WrongInputError(
            "SF686",
            f"`{search}` search cannot promise that phrases stand in an output",
            help='use `generate.search.use = "constrained"`',
        )


def _up_to_end(prefix: tuple[int, ...], eos: int) -> tuple[int, ...]:
    """Return a prefix up to its first end, that counted: nothing can follow it."""
    return prefix[: prefix.index(eos) + 1] if eos in prefix else prefix


def _longest(config: SearchConfig, source_length: int, positions: int | None, prefix: int) -> int:
    """Return how many symbols an output may have before its end: as many as it must begin with, whatever the config says.

    Args:
        config: the options.
        source_length: symbols of the source, end counted.
        positions: the longest target that the model takes, end counted; None for no limit.
        prefix: symbols that the output begins with.
    """
    if positions is not None and prefix >= positions:
        raise WrongInputError(
            "SF686",
            f"an output must begin with {prefix:,} symbols, and the model has room for {positions:,}, the end counted",
        )
    return max(config.longest(source_length, positions), prefix)


def _padded(prefixes: list[tuple[int, ...]], device: torch.device) -> Tensor:
    """Return prefixes as [sentences, longest], filled up with -1."""
    width = max((len(prefix) for prefix in prefixes), default=0)
    rows = [[*prefix, *[-1] * (width - len(prefix))] for prefix in prefixes]
    return torch.tensor(rows, dtype=torch.int64, device=device).view(len(prefixes), width)
