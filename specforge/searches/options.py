"""What every search may be told: how long an output may become, what it may not say, how dear a symbol is. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import ComponentConfig, Oddity, marked

_Factor: TypeAlias = Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)]
_Offset: TypeAlias = Annotated[int, Field(ge=0)]

Temperature: TypeAlias = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]

GREATEST_PENALTY: Final = 1e6
"""More than any log-probability, and little enough for scores to stay numbers."""


class SearchConfig(ComponentConfig):
    """Base of the config of a search. Bounds on lengths count symbols without the end, and look at each sentence alone.

    Source: fairseq's max_len_a, max_len_b, min_len, match_source_len, unkpen and no_repeat_ngram_size. Its bounds depend on
    the longest source of the batch; these do not, so that neighbours change nothing.
    """

    max_length: tuple[_Factor, _Offset] = Field(
        default=(0.0, 200),
        description="[a, b]: at most a x (source length, end counted) + b symbols; never more than the model's positions",
    )
    min_length: _Offset | tuple[_Factor, _Offset] = Field(
        default=1, description="no end of sentence before this many symbols, or [a, b] as in max_length"
    )
    match_source_length: Annotated[bool, marked(neutral=False)] = Field(
        default=False, description="at most as many symbols as the source has, end counted, whatever max_length says"
    )
    unkpen: Annotated[float, marked(neutral=0.0)] = Field(
        default=0.0,
        ge=-GREATEST_PENALTY,
        le=GREATEST_PENALTY,
        allow_inf_nan=False,
        description="taken from the log-probability of the unknown symbol; above 0 gives fewer of it, below 0 more",
    )
    no_repeat_ngram: Annotated[int, marked(neutral=0)] = Field(
        default=0, ge=0, description="no run of this many symbols stands twice in an output; 0: all may repeat"
    )

    @model_validator(mode="after")
    def _some_length_is_left(self) -> SearchConfig:
        """Where neither bound grows with the source, `max_length` leaves room for `min_length`."""
        factor, offset = self._greatest
        least_factor, least = self._least
        if self.match_source_length or (factor, least_factor) != (0.0, 0.0) or offset >= least:
            return self
        raise PydanticCustomError(
            "shape",
            "no output can be as short as `max_length` and as long as `min_length` ask for",
            {
                "labels": {"max_length": f"at most {offset} symbols", "min_length": f"at least {least} symbols"},
                "help": "raise max_length or lower min_length",
            },
        )

    @property
    def _greatest(self) -> tuple[float, int]:
        return (1.0, 0) if self.match_source_length else self.max_length

    @property
    def _least(self) -> tuple[float, int]:
        return (0.0, self.min_length) if isinstance(self.min_length, int) else self.min_length

    def longest(self, source_length: int, positions: int | None) -> int:
        """Return how many symbols an output may have before its end.

        Args:
            source_length: symbols of the source, end of sentence counted.
            positions: the longest target that the model takes, end of sentence counted; None for no limit.
        """
        factor, offset = self._greatest
        wanted = int(factor * source_length + offset)
        return wanted if positions is None else min(wanted, positions - 1)

    def shortest(self, source_length: int) -> int:
        """Return how many symbols stand before the end of an output at least, as long as `longest` allows.

        Args:
            source_length: symbols of the source, end of sentence counted.
        """
        factor, offset = self._least
        return int(factor * source_length + offset)

    def oddities(self) -> Sequence[Oddity]:
        """`match_source_length` takes the place of `max_length`."""
        if not self.match_source_length or self.max_length == type(self).model_fields["max_length"].default:
            return ()
        message = "`max_length` does nothing with `match_source_length`"
        others = {"match_source_length": "the source's length is the bound"}
        return (Oddity("max_length", message, "this bounds nothing", others, "leave one of the two out", "SF414"),)
