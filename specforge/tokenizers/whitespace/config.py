"""Settings of the whitespace tokenizer."""

from __future__ import annotations

from pydantic import Field

from specforge.plugin import TokenizerConfig


class WhitespaceConfig(TokenizerConfig):
    """Pieces as they stand in the text, between white space: for text that is cut already, as `fairseq-preprocess` takes it."""

    remove_bpe: str | None = Field(
        default=None,
        min_length=1,
        description='what marks a piece as not the end of its word, the space after it included, like "@@ "; removed from outputs',
    )
