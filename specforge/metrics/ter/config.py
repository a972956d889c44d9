"""What a spec may say about TER. Free of torch and of sacrebleu."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import MetricConfig


class TerConfig(MetricConfig):
    """Translation edit rate by sacrebleu, lower is better.

    Source: Snover et al. 2006; names and defaults are sacrebleu's (which compares without regard to case).
    """

    judges: ClassVar[Literal["texts", "labels"] | None] = "texts"

    case_sensitive: bool = Field(default=False, description="let case count")
    normalized: bool = Field(default=False, description="split punctuation off words first, as tercom does with -N")
    no_punct: bool = Field(default=False, description="leave punctuation out")
    asian_support: bool = Field(
        default=False, description="cut Chinese and Japanese into characters; with normalized or no_punct only"
    )

    @model_validator(mode="after")
    def _asian_support_has_work(self) -> TerConfig:
        """`asian_support` goes with `normalized` or `no_punct`."""
        if self.asian_support and not (self.normalized or self.no_punct):
            raise PydanticCustomError(
                "exclusive",
                "`asian_support` does nothing without `normalized` or `no_punct`",
                {"labels": {"asian_support": "never used"}, "help": "add `normalized = true`"},
            )
        return self
