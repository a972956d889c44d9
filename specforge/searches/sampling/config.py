"""What a spec may say about sampling. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from specforge.plugin import Oddity
from specforge.searches.options import SearchConfig, Temperature


class SamplingConfig(SearchConfig):
    """Symbols drawn by their probability; see `specforge.searches.sampling.search`."""

    samples: int = Field(default=1, ge=1, le=1_000, description="outputs drawn for each sentence, the likeliest first")
    temperature: Temperature = Field(
        default=1.0, description="log-probabilities are divided by it: below 1 surer, above 1 bolder"
    )
    top_k: int = Field(default=0, ge=0, description="draw from this many most probable symbols; 0: from all")
    top_p: float = Field(
        default=1.0,
        gt=0.0,
        le=1.0,
        description="draw from the fewest symbols whose probabilities, of those that top_k leaves, sum up to this",
    )
    seed: int = Field(
        default=1,
        ge=0,
        lt=2**63,
        description="what is drawn for a sentence is a function of this and of the sentence's symbols",
    )

    def oddities(self) -> Sequence[Oddity]:
        """With `top_k = 1` nothing is left to draw."""
        if self.top_k != 1:
            return super().oddities()
        others: dict[str, str] = {}
        for name in ("samples", "temperature", "top_p"):
            if getattr(self, name) != type(self).model_fields[name].default:
                others[name] = "this changes nothing"
        message = "`top_k = 1` leaves sampling nothing to choose from"
        oddity = Oddity("top_k", message, "always the most probable symbol", others, 'write `use = "greedy"`', "SF414")
        return (*super().oddities(), oddity)
