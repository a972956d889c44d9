"""A search whose outputs are put into another order by a reranker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from specforge.data.vocabulary import Vocabulary
from specforge.generation.lines import LINE_ENDS
from specforge.generation.reranking.reranker import Candidate, Reranker
from specforge.plugin import Symbols
from specforge.searches.scorer import Scorer
from specforge.searches.search import Hypothesis, Search, Sources
from specforge.tokenizers.tokenizer import Tokenizer


class RerankedSearch(Search):
    """Asks a search, and ranks what it found by the scores of a reranker; where these are equal its order stays.

    Args:
        search: finds outputs.
        reranker: scores them.
        vocabularies: of the roles `source` and `target`.
        tokenizer: trained; joins pieces into lines.
    """

    def __init__(
        self, search: Search, reranker: Reranker, vocabularies: Mapping[str, Vocabulary], tokenizer: Tokenizer
    ) -> None:
        self._search = search
        self._reranker = reranker
        self._vocabularies = vocabularies
        self._tokenizer = tokenizer

    @property
    def prefixes(self) -> int:
        """Those of the search that is asked."""
        return self._search.prefixes

    def search(
        self, scorer: Scorer, sources: Sources, symbols: Symbols, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Decode sentences; as the search that is asked, in another order, `Hypothesis.score` being the new one."""
        found = self._search.search(scorer, sources, symbols, attention=attention)
        rows = zip(sources.tokens.tolist(), sources.lengths.tolist(), strict=True)
        lines = [self._line("source", tokens[:length]) for tokens, length in rows]
        candidates = [[self._candidate(hypothesis) for hypothesis in best_first] for best_first in found]
        scores = self._reranker.scores(lines, candidates)
        return [_ranked(hypotheses, anew) for hypotheses, anew in zip(found, scores, strict=True)]

    def _candidate(self, hypothesis: Hypothesis) -> Candidate:
        return Candidate(self._line("target", hypothesis.tokens), hypothesis.score, sum(hypothesis.token_scores))

    def _line(self, role: str, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(role, self._vocabularies[role].pieces(tokens)).translate(LINE_ENDS)


def _ranked(hypotheses: Sequence[Hypothesis], scores: Sequence[float]) -> list[Hypothesis]:
    scored = [replace(each, score=score) for each, score in zip(hypotheses, scores, strict=True)]
    return sorted(scored, key=lambda hypothesis: -hypothesis.score)
