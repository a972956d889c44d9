"""What the fixed tables of a spec have in common: strict, closed and frozen, with intervals that have a unit."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue
from pydantic_core import PydanticCustomError

RawTable: TypeAlias = dict[str, JsonValue]


class Section(BaseModel):
    """Base of the fixed tables: strict, closed and frozen, as component configs are."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


_COUNT: Final = r"[1-9](?:_?[0-9]){0,17}"
_INTERVAL: Final = re.compile(rf"\s*({_COUNT})\s*([a-z]+?)s?\s*")


def interval(units: tuple[str, ...]) -> AfterValidator:
    """Return what checks an interval in some units, and writes it in one way."""

    def canonical(text: str) -> str:
        found = _INTERVAL.fullmatch(text)
        if found is None or found[2] not in units:
            raise PydanticCustomError(
                "interval",
                "expected a count of {units}, like {example}",
                {
                    "units": " or ".join(f"{unit}s" for unit in units),
                    "example": " or ".join(
                        f'"{number} {unit}s"' for number, unit in zip((500, 2), units, strict=False)
                    ),
                },
            )
        count = int(found[1])
        return f"{count} {found[2]}" if count == 1 else f"{count} {found[2]}s"

    return AfterValidator(canonical)


def interval_pattern(*units: str) -> str:
    """Return the regular expression of an interval in some units, as JSON Schema has them."""
    return rf"^\s*{_COUNT}\s*(?:{'|'.join(units)})s?\s*$"


def interval_parts(text: str) -> tuple[int, str]:
    """Split a checked interval into its count and its unit in the singular: `"2500 updates"` → `(2500, "update")`."""
    count, unit = text.split()
    return int(count), unit.removesuffix("s")
