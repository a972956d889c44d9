"""What a spec may say about exact match. Free of torch."""

from __future__ import annotations

from specforge.plugin import ComponentConfig


class ExactMatchConfig(ComponentConfig):
    """Percentage of outputs that equal their reference, character by character."""
