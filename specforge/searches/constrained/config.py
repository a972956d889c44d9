"""What a spec may say about lexically constrained search. Free of torch."""

from __future__ import annotations

from pydantic import Field

from specforge.searches.beam.config import FinishConfig


class ConstrainedConfig(FinishConfig):
    """Beam search whose outputs hold given phrases; see `specforge.searches.constrained.search`."""

    ordered: bool = Field(
        default=False, description="the phrases stand in the order given, none inside of another; else in any order"
    )
