"""What a spec may say about the F1 score of labels. Free of torch."""

from __future__ import annotations

from specforge.plugin import ComponentConfig


class F1Config(ComponentConfig):
    """F1 of each label, averaged over the labels, rare ones counting as much as frequent ones (macro F1)."""
