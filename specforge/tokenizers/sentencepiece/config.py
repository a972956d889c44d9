"""Settings of the sentencepiece tokenizer: the library's own names and defaults, but for those that say otherwise."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import LearnedPieces, TokenizerConfig, marked

RESERVED_PIECES: Final = frozenset({"<unk>", "<s>", "</s>", "<pad>"})

_LEARNED_SPECIALS: Final = ("<unk>", "<s>", "</s>")
"""Pieces that `vocab_size` counts and no text is cut into."""


def _pieces(symbols: list[str]) -> list[str]:
    for symbol in symbols:
        if not symbol or symbol in RESERVED_PIECES or any(character.isspace() for character in symbol):
            raise PydanticCustomError(
                "symbol", "`{symbol}` cannot be a piece: it is empty, reserved, or contains a space", {"symbol": symbol}
            )
        if symbols.count(symbol) > 1:
            raise PydanticCustomError("symbol", "`{symbol}` stands there twice", {"symbol": symbol})
    return symbols


class SentencePieceConfig(TokenizerConfig):
    """Subword pieces learned from the training text, without any other tokenizer before it (Kudo & Richardson 2018)."""

    trained: ClassVar[bool] = True

    model_type: Literal["unigram", "bpe", "char", "word"] = Field(
        default="unigram", description="how pieces are found; `word` cuts at white space only"
    )
    vocab_size: int = Field(
        default=8_000, ge=4, description="pieces to learn, three special ones counted; for `char` and `word` at most"
    )
    shared: bool = Field(default=True, description="one model for all columns, learned from their text together")
    character_coverage: float = Field(
        default=0.9995,
        gt=0.0,
        le=1.0,
        description="share of the text whose characters get a piece; the rest is unknown",
    )
    normalization_rule_name: Literal["nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"] = Field(
        default="nmt_nfkc",
        description="how text is normalised before it is cut; `cf` folds case, `identity` changes nothing",
    )
    lowercase: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="lower all letters before anything else; unlike `cf`, it leaves the German `ß` alone"
    )
    remove_extra_whitespaces: bool = Field(
        default=True, description="take outer spaces and repeated ones out of the text before it is cut"
    )
    byte_fallback: bool = Field(
        default=False, description="write unknown characters as bytes, so that nothing is unknown"
    )
    split_digits: bool = Field(default=False, description="one piece for each digit")
    split_by_number: bool = Field(default=True, description="no piece with digits and other characters")
    split_by_unicode_script: bool = Field(default=True, description="no piece with characters of several scripts")
    max_sentencepiece_length: int = Field(default=16, ge=1, le=512, description="longest piece in characters")
    user_defined_symbols: Annotated[list[str], AfterValidator(_pieces)] = Field(
        default_factory=list, description="texts that are always one piece, wherever they stand"
    )
    input_sentence_size: int = Field(
        default=0, ge=0, description="learn from this many lines of each model's text, drawn by the seed; 0: from all"
    )
    max_sentence_length: int = Field(
        default=4_192,
        ge=1,
        le=1 << 20,
        description="longest line in bytes to learn from; longer ones are counted and left out",
    )
    hard_vocab_limit: bool = Field(
        default=True, description="false: learn fewer pieces where the text does not yield vocab_size (unigram, bpe)"
    )

    @model_validator(mode="after")
    def _symbols_can_occur(self) -> SentencePieceConfig:
        """A symbol with capital letters never stands in text that was lowered."""
        symbol = next((symbol for symbol in self.user_defined_symbols if symbol != symbol.lower()), None)
        if self.lowercase and symbol is not None:
            raise PydanticCustomError(
                "exclusive",
                "the symbol `{symbol}` cannot occur in text whose letters are lowered",
                {
                    "symbol": symbol,
                    "labels": {"user_defined_symbols": "has capital letters", "lowercase": "leaves none"},
                    "help": "write the symbol in lower case, in the text too",
                },
            )
        return self

    def joined(self) -> bool:
        """Return whether one model serves all columns."""
        return self.shared

    def learned_pieces(self) -> LearnedPieces:
        """Return what it will cut text into."""
        match self.model_type:
            case "char":
                return LearnedPieces("character")
            case "word":
                return LearnedPieces("word")
            case _:
                return LearnedPieces("subword", self.vocab_size - len(_LEARNED_SPECIALS))
