"""The loop of all searches that keep several prefixes of a sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf

import torch
from torch import Tensor

from specforge.foundation.errors import WrongInputError
from specforge.models.model import DecodingState
from specforge.plugin import Symbols
from specforge.searches.beam.config import PrefixesConfig
from specforge.searches.beam.finished import Finished
from specforge.searches.beam.prefixes import Candidates, best_continuations, going_on, none_for
from specforge.searches.beam.ranking import Ranking
from specforge.searches.dropping import closed_up
from specforge.searches.lattice import EndingsLog, Lattice
from specforge.searches.restrictions import Restrictions, no_output
from specforge.searches.scorer import Scorer
from specforge.searches.search import Hypothesis, Search, Sources


class Selector(ABC):
    """Says which continuations of a batch's prefixes are considered, and in which order."""

    @abstractmethod
    def candidates(self, sums: Tensor, values: Tensor, log_probs: Tensor, step: int) -> Candidates:
        """Return the candidates of each beam in the order in which they are considered.

        Those among the first `width` that end are finished; the first `width` that do not end go on.

        Args:
            sums: [beams, width] of each prefix; -inf where there is no prefix.
            values: [beams x width, vocabulary] what each symbol adds; -inf for what is ruled out; may be changed.
            log_probs: [beams x width, vocabulary] what the scorer says.
            step: symbols of each prefix.
        """

    @abstractmethod
    def follow(self, rows: Tensor, tokens: Tensor, kept: Tensor | None) -> None:
        """Go along with the prefixes; as `Restrictions.follow`."""


class BestContinuations(Selector):
    """The best, whatever they are.

    Args:
        sibling_penalty: as `best_continuations`.
    """

    def __init__(self, sibling_penalty: float) -> None:
        self._sibling_penalty = sibling_penalty

    def candidates(self, sums: Tensor, values: Tensor, log_probs: Tensor, step: int) -> Candidates:
        """Return the best; see the base class."""
        del log_probs, step
        return best_continuations(sums, values, self._sibling_penalty)

    def follow(self, rows: Tensor, tokens: Tensor, kept: Tensor | None) -> None:
        """Remember nothing."""


class PrefixSearch(Search):
    """Keeps `beam` prefixes of each sentence, in one beam or in several that are done each by itself.

    Args:
        config: the options.
        beams: beams of a sentence, which share its prefixes evenly.
        keep_best: whether a beam is done by what its prefixes can reach, and not by the number of what has finished.
        early_stop: whether it is done when its best hypothesis cannot change.
    """

    def __init__(
        self, config: PrefixesConfig, *, beams: int = 1, keep_best: bool = False, early_stop: bool = False
    ) -> None:
        self._options = config
        self._beams = beams
        self._width = config.beam // beams
        self._keep_best = keep_best
        self._early_stop = early_stop

    @property
    def prefixes(self) -> int:
        """The prefixes of a sentence, those of all its beams."""
        return self._options.beam

    @abstractmethod
    def selector(self, sources: Sources, symbols: Symbols, rules: Restrictions) -> Selector:
        """Return what chooses continuations for a batch.

        Raises:
            WrongInputError: SF686, constraints that this search cannot keep.
        """

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode a batch; at most `beam` hypotheses for each sentence.

        Raises:
            StepFailedError: SF633, the model's scores are not numbers.
            WrongInputError: SF686, constraints that this search cannot keep; SF687, the coverage penalty needs attention
                that the model does not give.
        """
        config = self._options
        rules = Restrictions(config, sources, symbols, scorer, config.beam, config.temperature)
        selector = self.selector(sources, symbols, rules)
        if len(sources) == 0:
            return []
        lengths = sources.lengths
        run = _Run(config, len(sources) * self._beams, self._finished(sources), lengths, symbols.eos)
        state = scorer.start(sources.tokens, lengths, config.beam, attention=attention or run.needs_attention)
        tokens = torch.full((len(sources) * config.beam,), symbols.eos, device=lengths.device)
        step = 0
        while True:
            log_probs = scorer.step(tokens, state)  # [sentences x beam, vocabulary]
            run.look(state.attention, keep=attention)
            values = rules.ranked(log_probs, step)
            candidates = selector.candidates(run.sums, values, log_probs, step)
            if bool(candidates.scores.isnan().any()):
                raise no_output()
            ends = candidates.tokens == symbols.eos  # [open beams, candidates]
            some_end = bool(ends.any())  # in most steps of few sentences none does
            if some_end:
                run.finish(candidates, ends, log_probs, step)
            chosen = going_on(candidates, self._width, ends if some_end else None)
            chosen, kept = run.go_on(chosen, log_probs, rules.longest, step)
            rows, tokens = chosen.rows.flatten(), chosen.tokens.flatten()
            if len(rows) == 0:
                break
            _reorder(state, rows, kept)
            rules.follow(rows, tokens, kept)
            selector.follow(rows, tokens, kept)
            step += 1
        endings = run.log.endings().best(self._width)
        endings = endings.given_to(endings.owners // self._beams).best(config.beam)
        found = run.lattice.hypotheses(endings, lengths.tolist())
        if not all(found):
            raise no_output()
        return found

    def _finished(self, sources: Sources) -> Finished:
        return Finished(
            len(sources) * self._beams,
            self._width,
            keep_best=self._keep_best,
            early_stop=self._early_stop,
            device=sources.lengths.device,
        )


class _Run:
    """A search under way: the prefixes of the beams that are open, and all that has become of others.

    Args:
        config: the options.
        beams: of all sentences.
        finished: knows which are done.
        lengths: [sentences] of the sources, end of sentence counted.
        eos: the symbol that ends.
    """

    def __init__(self, config: PrefixesConfig, beams: int, finished: Finished, lengths: Tensor, eos: int) -> None:
        self.lattice = Lattice()
        self.log = EndingsLog()
        self.needs_attention = config.coverage_penalty > 0.0
        self._ranking = Ranking(config)
        self._finished = finished
        self._lengths = lengths
        self._eos = eos
        self._each = beams // max(1, len(lengths))  # beams of a sentence
        width = config.beam // self._each
        device = lengths.device
        self._owners = torch.arange(beams, device=device)  # which of all beams each open one is
        self.sums = torch.full((beams, width), -inf, device=device)  # [open beams, width]
        self.sums[:, 0] = 0.0  # one empty prefix: several would be the same
        self._covered: Tensor | None = None

    def look(self, attention: Tensor | None, *, keep: bool) -> None:
        """Take in what the step looked at, [rows, source length]."""
        if attention is not None and keep:
            self.lattice.looked(attention)
        if not self.needs_attention:
            return
        if attention is None:
            raise WrongInputError(
                "SF687",
                "`coverage_penalty` needs a model that shows its attention to the source, and this one does not",
                help="leave `coverage_penalty` out",
            )
        self._covered = attention if self._covered is None else self._covered[:, : attention.shape[1]] + attention

    def finish(self, candidates: Candidates, ends: Tensor, log_probs: Tensor, step: int) -> None:
        """Take in what ends among the first `width` candidates of each beam.

        Args:
            candidates: of each open beam.
            ends: [open beams, candidates] of bool: which end.
            log_probs: [rows, vocabulary] what the scorer said.
            step: symbols of each prefix so far.
        """
        width = self.sums.shape[1]
        scores = candidates.scores[:, :width]
        accepted = self._finished.accepted(ends[:, :width] & (scores > -inf))
        beams, ranks = accepted.nonzero(as_tuple=True)  # by beam, best first
        if len(beams) == 0:
            return
        rows = candidates.rows[beams, ranks]
        final = self._ranking.scores(scores[beams, ranks], step + 1, self._covered_by(rows))
        self.log.add(step, self._owners[beams], rows, log_probs[rows, self._eos], final)
        self._finished.add(beams, final, ranks)

    def go_on(
        self, chosen: Candidates, log_probs: Tensor, longest: Tensor, step: int
    ) -> tuple[Candidates, Tensor | None]:
        """Take in which prefixes there are next.

        Args:
            chosen: the candidates of each open beam that do not end, [open beams, width].
            log_probs: [rows, vocabulary] what the scorer said.
            longest: [open sentences] the most symbols of their outputs.
            step: symbols of each prefix so far.

        Returns:
            The candidates that go on, [beams that stay, width], and the sentences that stay; None for all.
        """
        best = chosen.scores.amax(dim=1)
        bound = None
        if self._finished.by_bound:
            bound = self._ranking.bound(best, step + 1, longest.repeat_interleave(self._each))
        going = (best > -inf) & ~self._finished.done(bound)  # [open beams]; at its greatest length none can but end
        all_go = bool(going.all())
        chosen = none_for(chosen, None if all_go else ~going, self._eos)
        kept = None
        if not all_go:
            staying = going.view(-1, self._each).any(dim=1)
            if not bool(staying.all()):
                kept = closed_up(staying)
                chosen = self._keep(chosen, kept)
        rows = chosen.rows.flatten()
        self.sums = chosen.scores
        self.lattice.extend(rows, chosen.tokens.flatten(), log_probs[rows, chosen.tokens.flatten()])
        if self._covered is not None:
            self._covered = self._covered[rows]
        return chosen, kept

    def _keep(self, chosen: Candidates, sentences: Tensor) -> Candidates:
        """Return the candidates of some sentences, and drop the beams of all others."""
        beams = torch.arange(len(self._owners), device=sentences.device).view(-1, self._each)[sentences].flatten()
        self._owners = self._owners[beams]
        self._finished.keep(beams)
        self._lengths = self._lengths[sentences]
        return chosen.changed(lambda values: values[beams])

    def _covered_by(self, rows: Tensor) -> Tensor | None:
        """Return what each source symbol got of the attention of some prefixes, [prefixes, source length]; see `Ranking`."""
        if self._covered is None:
            return None
        covered = self._covered[rows]
        lengths = self._lengths[rows // (self._each * self.sums.shape[1])]
        beyond = torch.arange(covered.shape[1], device=rows.device) >= lengths[:, None]
        return covered.masked_fill(beyond, 1.0)


def _reorder(state: DecodingState, rows: Tensor, kept: Tensor | None) -> None:
    """Let the decoder follow, unless every prefix continues itself: moving its caches is the dear part of a step."""
    if kept is not None or not torch.equal(rows, torch.arange(len(rows), device=rows.device)):
        state.select(rows, kept)
