"""What a spec may say about the F1 score of labels. Free of torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from specforge.plugin import MetricConfig


class F1Config(MetricConfig):
    """F1 of each label, averaged over the labels, rare ones counting as much as frequent ones (macro F1)."""

    judges: ClassVar[Literal["texts", "labels"] | None] = "labels"
