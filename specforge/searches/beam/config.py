"""What a spec may say about beam search. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from specforge.plugin import Oddity
from specforge.searches.lengths import LengthConfig


class BeamConfig(LengthConfig):
    """Beam search as fairseq does it; see `specforge.searches.beam.search`."""

    beam: int = Field(default=5, ge=1, le=1_000, description="prefixes kept for each sentence")
    lenpen: float = Field(
        default=1.0,
        allow_inf_nan=False,
        description="score = sum of log-probabilities / length ** lenpen, end counted; above 1 favours longer outputs",
    )
    normalize: bool = Field(default=True, description="false: score = sum of log-probabilities, whatever lenpen is")
    unkpen: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="taken from the log-probability of the unknown symbol; above 0 gives fewer of it, below 0 more",
    )

    def oddities(self) -> Sequence[Oddity]:
        """A length penalty weighs hypotheses of different lengths against each other; a beam of 1 has only one."""
        if self.beam > 1 or self.lenpen == type(self).model_fields["lenpen"].default:
            return ()
        message = f"`lenpen = {self.lenpen:g}` chooses nothing with `beam = 1`"
        others = {"beam": "one hypothesis, nothing to weigh it against"}
        return (Oddity("lenpen", message, "this changes the score, and no output", others, code="SF414"),)
