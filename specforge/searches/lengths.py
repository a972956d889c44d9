"""How long an output may become: options that every search of symbols one by one shares. Free of torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from specforge.plugin import ComponentConfig

_Factor = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
_Offset = Annotated[int, Field(ge=0)]


class LengthConfig(ComponentConfig):
    """Base of the config of a search: bounds on the length of its outputs, the end of sentence not counted.

    Source: fairseq's max_len_a, max_len_b and min_len. Its bound depends on the longest source of the batch; this one
    on the sentence alone, so that neighbours change nothing.
    """

    max_length: tuple[_Factor, _Offset] = Field(
        default=(0.0, 200),
        description="[a, b]: at most a x (source length, end counted) + b symbols; never more than the model's positions",
    )
    min_length: int = Field(default=1, ge=0, description="no end of sentence before this many symbols")

    @model_validator(mode="after")
    def _some_length_is_left(self) -> LengthConfig:
        """Where `max_length` does not grow with the source, it leaves room for `min_length`."""
        factor, offset = self.max_length
        if factor == 0.0 and offset < self.min_length:
            raise PydanticCustomError(
                "shape",
                "no output can be as short as `max_length` and as long as `min_length` ask for",
                {
                    "labels": {
                        "max_length": f"at most {offset} symbols",
                        "min_length": f"at least {self.min_length} symbols",
                    },
                    "help": "raise max_length or lower min_length",
                },
            )
        return self

    def longest(self, source_length: int, positions: int | None) -> int:
        """Return how many symbols an output may have before its end of sentence.

        Args:
            source_length: symbols of the source, end of sentence counted.
            positions: the longest target that the model takes, end of sentence counted; None for no limit.
        """
        factor, offset = self.max_length
        wanted = int(factor * source_length + offset)
        return wanted if positions is None else min(wanted, positions - 1)
