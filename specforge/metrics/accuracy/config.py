"""What a spec may say about accuracy. Free of torch."""

from __future__ import annotations

from specforge.plugin import ComponentConfig


class AccuracyConfig(ComponentConfig):
    """Percentage of labels that are right."""
