"""What a spec may say of the cross entropy: nothing."""

from __future__ import annotations

from specforge.plugin import ComponentConfig


class CrossEntropyConfig(ComponentConfig):
    """Negative log-likelihood of the target."""
