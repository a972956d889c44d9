"""What a spec may say about beam search. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from specforge.plugin import Oddity, marked
from specforge.searches.options import GREATEST_PENALTY, SearchConfig, Temperature


class PrefixesConfig(SearchConfig):
    """What all searches share that keep several prefixes of a sentence and rank what becomes of them."""

    beam: int = Field(default=5, ge=1, le=1_000, description="prefixes kept for each sentence")
    lenpen: float = Field(
        default=1.0,
        ge=-10.0,
        le=10.0,
        allow_inf_nan=False,
        description="score = sum of log-probabilities / length ** lenpen, end counted; above 1 favours longer outputs",
    )
    normalize: bool = Field(default=True, description="false: score = sum of log-probabilities, whatever lenpen is")
    unkpen: float = Field(  # once more, for what beam search has in its keys since its first version
        default=0.0,
        ge=-GREATEST_PENALTY,
        le=GREATEST_PENALTY,
        allow_inf_nan=False,
        description=SearchConfig.model_fields["unkpen"].description,
    )
    lenpen_form: Annotated[Literal["power", "gnmt"], marked(neutral="power")] = Field(
        default="power", description="what divides the sum: length ** lenpen, or ((5 + length) / 6) ** lenpen as GNMT"
    )
    coverage_penalty: Annotated[float, marked(neutral=0.0)] = Field(
        default=0.0,
        ge=0.0,
        le=GREATEST_PENALTY,
        allow_inf_nan=False,
        description="this times the sum over source symbols of log(min(attention that each got, 1)) is added to the score, as GNMT does",
    )
    temperature: Annotated[Temperature, marked(neutral=1.0)] = Field(
        default=1.0, description="log-probabilities are divided by it and normalised again, before they are ranked"
    )

    def oddities(self) -> Sequence[Oddity]:
        """A penalty weighs hypotheses of one sentence against each other: it needs several, and a score that heeds it."""
        return (*super().oddities(), *self._idle_penalties())

    def _idle_penalties(self) -> Iterator[Oddity]:
        fields = type(self).model_fields
        for name in ("lenpen", "lenpen_form", "coverage_penalty"):
            value = getattr(self, name)
            if value == fields[name].default:
                continue
            shown = f'{name} = "{value}"' if isinstance(value, str) else f"{name} = {value:g}"
            if self.beam == 1:
                yield Oddity(
                    name,
                    f"`{shown}` chooses nothing with `beam = 1`",
                    "this changes the score, and no output",
                    {"beam": "one hypothesis, nothing to weigh it against"},
                    code="SF414",
                )
            elif not self.normalize and name != "coverage_penalty":
                yield Oddity(
                    name,
                    f"`{shown}` does nothing with `normalize = false`",
                    "this changes nothing",
                    {"normalize": "the score is the sum, whatever its length"},
                    code="SF414",
                )


class FinishConfig(PrefixesConfig):
    """When a sentence is done, for searches with one beam for each."""

    finish: Annotated[Literal["beam", "best"], marked(neutral="beam")] = Field(
        default="beam",
        description="a sentence is done when `beam` hypotheses are finished (beam), or when nothing that is open can still "
        "become one of the `beam` best (best)",
    )
    early_stop: Annotated[bool, marked(neutral=False)] = Field(
        default=False,
        description="stop as soon as no open prefix can beat the best hypothesis, which stays the same; others may be lost",
    )

    def oddities(self) -> Sequence[Oddity]:
        """Stops by proof need something to compare, and a bound."""
        return (*super().oddities(), *self._idle_stops())

    def _idle_stops(self) -> Iterator[Oddity]:
        if self.early_stop and self.beam == 1:
            others = (
                {"beam": "one hypothesis is enough"} if self.finish == "beam" else {"beam": "none but the best is kept"}
            )
            yield Oddity("early_stop", "`early_stop` changes nothing with `beam = 1`", "", others, code="SF414")
        if self.unkpen < 0.0 and (self.early_stop or self.finish == "best"):
            name = "early_stop" if self.early_stop else "finish"
            message = f"`{name}` stops nothing where `unkpen` is below 0"
            others = {"unkpen": "an unknown symbol more can make any prefix better"}
            yield Oddity(name, message, "sentences go on to their greatest length", others, code="SF414")


class BeamConfig(FinishConfig):
    """Beam search as fairseq does it; see `specforge.searches.beam.search`."""

    sibling_penalty: Annotated[float, marked(neutral=0.0)] = Field(
        default=0.0,
        ge=0.0,
        le=GREATEST_PENALTY,
        allow_inf_nan=False,
        description="taken from the second best continuation of a prefix, twice from the third: beams with more parents",
    )
