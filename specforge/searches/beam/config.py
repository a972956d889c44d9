"""What a spec may say about beam search. Free of torch."""

from __future__ import annotations

from pydantic import Field

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
