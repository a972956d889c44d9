"""Beam search with fairseq's rules, each sentence by itself.

At each step the best 2 x beam continuations of a sentence are its candidates. Those among the first `beam` that end are
finished; the first `beam` that do not end go on. A sentence is done when `beam` hypotheses are finished, or at its
greatest length, where only the end is allowed. Finished hypotheses are ranked by sum / length ** lenpen, the end counted.
`finish` and `early_stop` offer other ways to be done, by what open prefixes can reach at most.
"""

from __future__ import annotations

from specforge.plugin import Symbols
from specforge.searches.beam.config import BeamConfig
from specforge.searches.beam.loop import BestContinuations, PrefixSearch, Selector
from specforge.searches.restrictions import Restrictions, refuse_phrases
from specforge.searches.search import Search, Sources


class BeamSearch(PrefixSearch):
    """Keeps the `beam` best prefixes of each sentence."""

    def __init__(self, config: BeamConfig) -> None:
        super().__init__(config, keep_best=config.finish == "best", early_stop=config.early_stop)
        self._config = config

    def selector(self, sources: Sources, symbols: Symbols, rules: Restrictions) -> Selector:
        """Return the choice of the best continuations."""
        del symbols, rules
        refuse_phrases(sources, "beam")
        return BestContinuations(self._config.sibling_penalty)


def build(config: BeamConfig) -> Search:
    """Return the search."""
    return BeamSearch(config)
