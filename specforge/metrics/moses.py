"""Moses tokens for a metric of sacrebleu: punctuation normalised, then cut, as papers on tokenised text prepare theirs.

It is what Moses' scripts normalize-punctuation.perl and tokenizer.perl do, by their port sacremoses, on text that the metric
may have lowered before.
"""

from __future__ import annotations

from importlib.metadata import version


class MosesTokens:
    """Cuts lines for scoring; special characters are escaped, as by tokenizer.perl: this changes no score.

    Args:
        language: code of the text's language, which decides about abbreviations, apostrophes and quotation marks.
    """

    def __init__(self, language: str) -> None:
        from sacremoses import MosesPunctNormalizer, MosesTokenizer

        self._language = language
        self._normalizer = MosesPunctNormalizer(language)
        self._tokenizer = MosesTokenizer(language)

    def __call__(self, line: str) -> str:
        """Return a line with single spaces between its tokens."""
        tokens: list[str] = self._tokenizer.tokenize(self._normalizer.normalize(line))
        return " ".join(tokens)

    def signature(self) -> str:
        """Return language and version: `moses-de-sacremoses-0.2.0`."""
        return f"moses-{self._language}-sacremoses-{version('sacremoses')}"
