"""Settings of the language modelling task."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import Column, Kind, TaskConfig


class LanguageModelingConfig(TaskConfig):
    """Every symbol of a text from those before it; a test says the perplexity."""

    defaults: ClassVar[Mapping[Kind, str]] = MappingProxyType(
        {
            "tokenizer": "sentencepiece",
            "criterion": "cross_entropy",
            "optimizer": "adam",
            "lr_scheduler": "inverse_sqrt",
            "search": "greedy",
        }
    )
    unit: ClassVar[str] = "tokens"
    family: ClassVar[str] = "language_model"
    predicted: ClassVar[str] = "text"
    test_steps: ClassVar[tuple[Literal["generate", "score"], ...]] = ("score",)
    continues: ClassVar[bool] = True
    keeps_blank_lines: ClassVar[bool] = True
    read_by: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"block_length": ("train", "score"), "context_window": ("score",)}
    )

    text: str = Field(default="text", min_length=1, description="name of the column, where the data are a table")
    block_length: int | None = Field(
        default=None,
        ge=1,
        description="cut the text into blocks of so many tokens, across lines; left out: every line is an item",
    )
    context_window: int = Field(
        default=0,
        ge=0,
        description="tokens before a block that a test looks at again, so that none is predicted from next to nothing",
    )

    @model_validator(mode="after")
    def _window_inside_a_block(self) -> LanguageModelingConfig:
        """`context_window` is smaller than `block_length`, which counts both."""
        if self.block_length is None and self.context_window > 0:
            raise PydanticCustomError(
                "missing_value",
                "a `context_window` needs `block_length`",
                {
                    "labels": {"context_window": "a line has no window: it is predicted from its own beginning"},
                    "help": "write `block_length = 512`",
                },
            )
        if self.block_length is not None and self.context_window >= self.block_length:
            raise PydanticCustomError(
                "disagree",
                "`context_window` leaves no room in a block for tokens to predict",
                {
                    "labels": {
                        "context_window": f"{self.context_window:,} tokens are looked at again",
                        "block_length": f"of {self.block_length:,} in all",
                    }
                },
            )
        return self

    def columns(self) -> tuple[Column, ...]:
        """Return the text."""
        return (Column("text", self.text),)

    def longest_items(self) -> Mapping[str, int]:
        """Return the length of a block."""
        return {} if self.block_length is None else {"text": self.block_length}
