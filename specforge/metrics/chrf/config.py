"""What a spec may say about chrF. Free of torch and of sacrebleu."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from specforge.plugin import MetricConfig, marked


class ChrfConfig(MetricConfig):
    """Character n-gram F-score by sacrebleu: chrF by default, chrF++ with `word_order = 2`.

    Source: Popović 2015 and 2017; names and defaults are sacrebleu's.
    """

    judges: ClassVar[Literal["texts", "labels"] | None] = "texts"

    char_order: int = Field(default=6, ge=1, le=100, description="longest n-gram of characters")
    word_order: int = Field(default=0, ge=0, le=100, description="longest n-gram of words; 2 makes it chrF++")
    beta: int = Field(default=2, ge=1, le=100, description="how many times recall outweighs precision")
    lowercase: bool = Field(default=False, description="compare without regard to case")
    whitespace: bool = Field(default=False, description="let character n-grams hold spaces")
    eps_smoothing: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="smooth as the chrF++.py script does, not by the orders that a text has"
    )
