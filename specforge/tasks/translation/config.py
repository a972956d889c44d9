"""Settings of the translation task."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import Column, Kind, TaskConfig


def _usable(language: str) -> str:
    """Accept what can be the suffix of a file (`train.en`) and the name of a column."""
    if "/" in language or "\\" in language or not language.isprintable():
        raise PydanticCustomError(
            "language", "a language is the suffix of a file name: no slash, no backslash, only printable characters"
        )
    return language


_Language: TypeAlias = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_usable)]


class TranslationConfig(TaskConfig):
    """From text in one language to text in another."""

    defaults: ClassVar[Mapping[Kind, str]] = MappingProxyType(
        {
            "tokenizer": "sentencepiece",
            "criterion": "label_smoothed_cross_entropy",
            "optimizer": "adam",
            "lr_scheduler": "inverse_sqrt",
            "search": "beam",
            "metric": "bleu",
        }
    )

    source: _Language = Field(description="language to translate from: suffix of its files, name of its column")
    target: _Language = Field(description="language to translate to: suffix of its files, name of its column")

    @model_validator(mode="after")
    def _two_languages(self) -> TranslationConfig:
        """`source` and `target` differ."""
        if self.source == self.target:
            raise PydanticCustomError(
                "disagree",
                "`source` and `target` are both `{name}`, so they would be the same text",
                {"name": self.source, "labels": {"source": "one side", "target": "the other side"}},
            )
        return self

    def columns(self) -> tuple[Column, ...]:
        """Return source and target."""
        return Column("source", self.source), Column("target", self.target)
