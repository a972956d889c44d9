"""ROUGE by rouge-score, the package that published figures come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

import numpy as np

from specforge.metrics.metric import Metric, Score
from specforge.metrics.rouge.config import RougeConfig

_WORDS: Final = re.compile(r"\w+")


class Rouge(Metric):
    """Mean F1 of texts in percent; of several references the one that is nearest counts.

    Args:
        config: which variant, and how text is cut.
    """

    def __init__(self, config: RougeConfig) -> None:
        from rouge_score.rouge_scorer import RougeScorer  # loads nltk, half a second

        self._config = config
        tokenizer = _UnicodeWords() if config.tokenize == "unicode" else None
        self._scorer = RougeScorer([config.variant], use_stemmer=config.stemmer, tokenizer=tokenizer)

    def score(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
        """Return the score.

        Raises:
            ValueError: nothing to score, or another number of references.
        """
        if not hypotheses or not references:
            message = "nothing to score"
            raise ValueError(message)
        value = float(np.mean(self.sentence_scores(hypotheses, references)))
        config = self._config
        mark = f"|mark:{config.sentence_mark}" if config.sentence_mark is not None else ""
        stems = "porter" if config.stemmer else "no"
        signature = (
            f"nrefs:{len(references)}|tok:{config.tokenize}|stem:{stems}{mark}|rouge-score:{version('rouge-score')}"
        )
        return Score(
            name=config.variant,
            value=value,
            signature=f"{config.variant}|{signature}",
            higher_is_better=self.higher_is_better,
            text=f"{config.variant} = {value:.2f} (F1)",
        )

    def sentence_scores(self, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Sequence[float]:
        """Return the F1 of each text in percent."""
        pairs = zip(hypotheses, zip(*references, strict=True), strict=True)
        return [self._f1(hypothesis, alternatives) for hypothesis, alternatives in pairs]

    def _f1(self, hypothesis: str, references: Sequence[str]) -> float:
        found = self._scorer.score_multi([self._sentences(text) for text in references], self._sentences(hypothesis))
        return 100.0 * float(found[self._config.variant].fmeasure)

    def _sentences(self, text: str) -> str:
        mark = self._config.sentence_mark
        return text if mark is None else text.replace(mark, "\n")


class _UnicodeWords:
    """Cuts text into lower-case words, as rouge-score asks it of a tokenizer."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words."""
        return _WORDS.findall(text.lower())


def build(config: RougeConfig) -> Metric:
    """Return the metric; its values are percent."""
    return Rouge(config)
