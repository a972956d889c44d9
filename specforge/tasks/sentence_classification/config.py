"""Settings of the sentence classification task."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import Column, Kind, TaskConfig


class SentenceClassificationConfig(TaskConfig):
    """A label for each text."""

    defaults: ClassVar[Mapping[Kind, str]] = MappingProxyType(
        {
            "tokenizer": "sentencepiece",
            "criterion": "cross_entropy",
            "optimizer": "adam",
            "lr_scheduler": "inverse_sqrt",
            "metric": "accuracy",
        }
    )
    unit: ClassVar[str] = "text tokens"
    family: ClassVar[str] = "classifier"
    predicted: ClassVar[str] = "label"
    searches: ClassVar[bool] = False

    text: str = Field(
        default="text", min_length=1, max_length=100, description="column of the texts, or suffix of their files"
    )
    label: str = Field(
        default="label", min_length=1, max_length=100, description="column of the labels, or suffix of their files"
    )

    @model_validator(mode="after")
    def _two_columns(self) -> SentenceClassificationConfig:
        """`text` and `label` differ."""
        if self.text == self.label:
            raise PydanticCustomError(
                "disagree",
                "`text` and `label` are both `{name}`, so they would be the same column",
                {"name": self.text, "labels": {"text": "what is read", "label": "what is predicted"}},
            )
        return self

    def columns(self) -> tuple[Column, ...]:
        """Return text and label."""
        return Column("text", self.text), Column("label", self.label, labels=True)
