"""What is said of lines that were longer than the model's positions: how many, and where the first of them are."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from pydantic import JsonValue

from specforge.foundation.errors import Place
from specforge.foundation.events import Reporter
from specforge.foundation.quantities import counted
from specforge.generation.translation import TooLong

_NAMED: Final = 3

_DONE: Final = MappingProxyType(
    {"keep": "passed untranslated", "truncate": "were cut off there", "split": "were translated in parts"}
)
"""What became of them, by policy; with `error` there are none."""


@dataclass(slots=True)
class LongLineReport:
    """Counts lines that are too long.

    Args:
        policy: what is done about them.
        lines: how many there were.
        first: places of the first ones.
    """

    policy: TooLong
    lines: int = 0
    first: list[Place] = field(default_factory=list)

    def add(self, place: Place) -> None:
        """Count one."""
        self.lines += 1
        if len(self.first) < _NAMED:
            self.first.append(place)

    def tell(self, reporter: Reporter) -> None:
        """Say so, if there were any."""
        if not self.lines:
            return
        verb = "is" if self.lines == 1 else "are"
        done = _DONE[self.policy] if self.lines > 1 else _DONE[self.policy].replace("were", "was")
        places = ", ".join(str(place) for place in self.first)
        more = ", …" if self.lines > len(self.first) else ""
        reporter.warning(
            f"{counted(self.lines, 'line')} {verb} longer than the model's positions and {done}: {places}{more}"
        )

    def summary(self) -> JsonValue:
        """Return it for `summary.json`."""
        lines: list[JsonValue] = [place.line for place in self.first]
        return {"policy": self.policy, "lines": self.lines, "first": lines}
