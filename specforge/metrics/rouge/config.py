"""What a spec may say about ROUGE. Free of torch and of rouge-score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import MetricConfig, Oddity, Requirement


class RougeConfig(MetricConfig):
    """ROUGE F1 by rouge-score, for summaries: overlapping n-grams or longest common subsequences, mean over texts.

    Source: Lin 2004. `rouge1`, `rouge2`, `rougeL` and `rougeLsum` are names for this metric with that variant.
    """

    judges: ClassVar[Literal["texts", "labels"] | None] = "texts"
    requires: ClassVar[Sequence[Requirement]] = (Requirement("rouge_score", "pip install 'specforge-compiler[rouge]'"),)

    variant: Literal["rouge1", "rouge2", "rougeL", "rougeLsum"] = Field(
        default="rougeL",
        description="rouge1, rouge2: n-grams; rougeL: the longest common subsequence; rougeLsum: that of each sentence",
    )
    tokenize: Literal["english", "unicode"] = Field(
        default="english",
        description="english: rouge-score's own words of a-z and 0-9, all else left out; unicode: words of any script",
    )
    stemmer: bool = Field(default=False, description="english words without their endings (Porter)")
    sentence_mark: str | None = Field(
        default=None, min_length=1, description="rougeLsum: what stands between the sentences of a line, like <q>"
    )

    @model_validator(mode="after")
    def _stems_are_english(self) -> RougeConfig:
        """`stemmer` goes with English words."""
        if self.stemmer and self.tokenize != "english":
            raise PydanticCustomError(
                "exclusive",
                "the stemmer knows English endings only",
                {"labels": {"stemmer": "never used", "tokenize": "words of any script"}},
            )
        return self

    @model_validator(mode="after")
    def _sentences_are_of_use(self) -> RougeConfig:
        """`sentence_mark` goes with rougeLsum."""
        if self.sentence_mark is not None and self.variant != "rougeLsum":
            raise PydanticCustomError(
                "exclusive",
                "only rougeLsum compares sentence by sentence",
                {"labels": {"sentence_mark": "never used", "variant": "takes a line as a whole"}},
            )
        return self

    def oddities(self) -> Sequence[Oddity]:
        """Without `sentence_mark` every line is one sentence."""
        if self.variant != "rougeLsum" or self.sentence_mark is not None:
            return ()
        message = "rougeLsum takes every line for one sentence, and so is rougeL"
        return (
            Oddity(
                "variant", message, "compares by sentences", help='add `sentence_mark = "<q>"`, or what ends a sentence'
            ),
        )
