"""What a spec may say about chrF. Free of torch and of sacrebleu."""

from __future__ import annotations

from pydantic import Field

from specforge.plugin import ComponentConfig


class ChrfConfig(ComponentConfig):
    """Character n-gram F-score by sacrebleu: chrF by default, chrF++ with `word_order = 2`.

    Source: Popović 2015 and 2017; names and defaults are sacrebleu's.
    """

    char_order: int = Field(default=6, ge=1, le=100, description="longest n-gram of characters")
    word_order: int = Field(default=0, ge=0, le=100, description="longest n-gram of words; 2 makes it chrF++")
    beta: int = Field(default=2, ge=1, le=100, description="how many times recall outweighs precision")
    lowercase: bool = Field(default=False, description="compare without regard to case")
    whitespace: bool = Field(default=False, description="let character n-grams hold spaces")
