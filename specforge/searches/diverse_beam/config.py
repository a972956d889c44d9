"""What a spec may say about diverse beam search. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import Oddity
from specforge.searches.beam.config import PrefixesConfig
from specforge.searches.options import GREATEST_PENALTY


class DiverseBeamConfig(PrefixesConfig):
    """Several beams for each sentence that keep away from each other; see `specforge.searches.diverse_beam.search`."""

    beam: int = Field(default=6, ge=1, le=1_000, description="prefixes kept for each sentence, in all groups together")
    groups: int = Field(
        default=3, ge=1, description="beams of `beam` / `groups` prefixes, one after the other at each step"
    )
    strength: float = Field(
        default=0.5,
        ge=0.0,
        le=GREATEST_PENALTY,
        allow_inf_nan=False,
        description="taken from the log-probability of a symbol for each prefix of the groups before that says it now",
    )

    @model_validator(mode="after")
    def _groups_are_equal(self) -> DiverseBeamConfig:
        if self.beam % self.groups == 0:
            return self
        raise PydanticCustomError(
            "shape",
            "`beam` must be a multiple of `groups`",
            {
                "labels": {"beam": f"{self.beam} prefixes", "groups": f"{self.groups} groups of equally many"},
                "help": f"write `beam = {max(1, round(self.beam / self.groups)) * self.groups}`",
            },
        )

    def oddities(self) -> Sequence[Oddity]:
        """Diversity is between groups, and by the penalty."""
        found = super().oddities()
        if self.groups == 1:
            message = "`groups = 1` is beam search: there is no other group to differ from"
            return (*found, Oddity("groups", message, "nothing is diverse", help='write `use = "beam"`', code="SF414"))
        if self.strength == 0.0:
            message = "with `strength = 0` all groups find the same"
            return (*found, Oddity("strength", message, "no group keeps away from another", code="SF414"))
        return found
