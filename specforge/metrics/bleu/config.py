"""What a spec may say about BLEU. Free of torch and of sacrebleu."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import MetricConfig, marked


class BleuConfig(MetricConfig):
    """BLEU by sacrebleu, with the options of its command line that need no download.

    Source: Papineni et al. 2002; Post 2018; names and defaults are sacrebleu's.
    """

    judges: ClassVar[Literal["texts", "labels"] | None] = "texts"

    tokenize: Literal["13a", "intl", "zh", "char", "none", "moses"] = Field(
        default="13a",
        description="13a: as WMT's mteval-v13a; intl: by Unicode class; none: at spaces; moses: as Moses' scripts normalise "
        "punctuation and cut",
    )
    language: Annotated[str | None, marked(neutral=None)] = Field(
        default=None, pattern=r"^[a-z]{2,3}$", description="for moses: code of the language that is scored, like de"
    )
    lowercase: bool = Field(default=False, description="compare without regard to case")
    smooth_method: Literal["exp", "floor", "add-k", "none"] = Field(
        default="exp", description="what stands in for n-gram orders without a match (Chen & Cherry 2014)"
    )
    smooth_value: float | None = Field(
        default=None, ge=0.0, allow_inf_nan=False, description="for floor (default 0.1) and add-k (default 1)"
    )

    @model_validator(mode="after")
    def _moses_has_a_language(self) -> BleuConfig:
        """`language` goes with `tokenize = "moses"`, and only with that."""
        if self.tokenize == "moses" and self.language is None:
            raise PydanticCustomError(
                "exclusive",
                "Moses cuts text by the rules of its language, and `language` is missing",
                {"labels": {"tokenize": "needs a language"}, "help": 'write for instance `language = "de"`'},
            )
        if self.tokenize != "moses" and self.language is not None:
            raise PydanticCustomError(
                "exclusive",
                "`language` means nothing to this `tokenize`",
                {
                    "labels": {"language": "never used", "tokenize": "is the same for all languages"},
                    "help": 'remove it, or write `tokenize = "moses"`',
                },
            )
        return self

    @model_validator(mode="after")
    def _value_has_a_method(self) -> BleuConfig:
        """`smooth_value` goes with the methods `floor` and `add-k`."""
        if self.smooth_value is not None and self.smooth_method in {"exp", "none"}:
            raise PydanticCustomError(
                "exclusive",
                "`smooth_value` means nothing to this `smooth_method`",
                {
                    "labels": {"smooth_value": "never used", "smooth_method": "takes no value"},
                    "help": 'remove it, or write `smooth_method = "floor"`',
                },
            )
        return self
